//! How single values are written in the OpenMetrics format.

use std::fmt;

use prometheus_client::encoding::MetricEncoder;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::telemetry::{BOUNDS_S, Durations};

pub(super) fn counter(mut metric: MetricEncoder<'_>, number: u64) -> fmt::Result {
    metric.encode_counter::<[(&str, &str); 0], _, u64>(&number, None)
}

pub(super) fn gauge(mut metric: MetricEncoder<'_>, number: u64) -> fmt::Result {
    metric.encode_gauge(&number)
}

pub(super) fn maybe(metric: MetricEncoder<'_>, number: Option<u64>) -> fmt::Result {
    number.map_or(Ok(()), |number| gauge(metric, number))
}

pub(super) fn durations(mut metric: MetricEncoder<'_>, all: &Durations) -> fmt::Result {
    let bounds = BOUNDS_S.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(all.counts).collect();
    let none = None::<&std::collections::HashMap<usize, Exemplar<[(&str, &str); 0], f64>>>;
    // Microseconds since start stay exact in a double for 285 years.
    #[allow(clippy::cast_precision_loss)]
    let sum_s = all.sum_us as f64 / 1e6;
    metric.encode_histogram(sum_s, all.count(), &buckets, none)
}

pub(super) fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
