//! Lanes: by what exchanges are counted. Few, so that the numbers stay readable.

use crate::family::Family;

const FAMILIES: usize = Family::ALL.len();

/// What kind of exchange it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// HTTP, to a route of this family.
    Http(Family),
    /// `POST /offer`.
    Offer,
    /// Sockets on any path.
    Socket,
}

impl Lane {
    /// All of them, in the order of their counters.
    pub const ALL: [Lane; FAMILIES + 2] = {
        let (mut all, mut at) = ([Lane::Offer; FAMILIES + 2], 0);
        while at < FAMILIES {
            all[at] = Lane::Http(Family::ALL[at]);
            at += 1;
        }
        all[FAMILIES + 1] = Lane::Socket;
        all
    };

    /// Its place among all.
    pub(super) fn place(self) -> usize {
        match self {
            Lane::Http(family) => family as usize,
            Lane::Offer => FAMILIES,
            Lane::Socket => FAMILIES + 1,
        }
    }

    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Lane::Http(family) => family.name(),
            Lane::Offer => "offer",
            Lane::Socket => "socket",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_lane_has_its_place_and_a_label_of_its_own() {
        for (place, lane) in Lane::ALL.into_iter().enumerate() {
            assert_eq!(lane.place(), place, "{lane:?}");
        }
        let labels: BTreeSet<&str> = Lane::ALL.into_iter().map(Lane::label).collect();
        assert_eq!(labels.len(), Lane::ALL.len());
    }
}
