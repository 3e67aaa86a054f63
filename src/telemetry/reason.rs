//! The reasons for which the relay says no, in the order of their counters.

use crate::error::Kind;

/// Every kind of refusal.
pub(super) const REASONS: [Kind; 40] = [
    Kind::Malformed,
    Kind::Unclear,
    Kind::MethodNotAllowed,
    Kind::NotFound,
    Kind::UriTooLong,
    Kind::HeadTooLarge,
    Kind::HeadTimeout,
    Kind::UpgradeNotSupported,
    Kind::BetaDisabled,
    Kind::SocketVersion,
    Kind::CapacityReached,
    Kind::SessionInactive,
    Kind::SessionOver,
    Kind::Unauthorized,
    Kind::BadLogin,
    Kind::Forbidden,
    Kind::AccountsOff,
    Kind::InvalidFields,
    Kind::AlreadyTaken,
    Kind::Conflict,
    Kind::TooManyAttempts,
    Kind::RateLimited,
    Kind::DatabaseUnavailable,
    Kind::OriginNotAllowed,
    Kind::BodyTooLarge,
    Kind::BodyTimeout,
    Kind::InvalidOffer,
    Kind::Draining,
    Kind::Overloaded,
    Kind::ServerKeyMissing,
    Kind::UpstreamUnreachable,
    Kind::UpstreamDns,
    Kind::UpstreamTls,
    Kind::UpstreamProxy,
    Kind::UpstreamConnectTimeout,
    Kind::UpstreamTimeout,
    Kind::UpstreamWriteTimeout,
    Kind::UpstreamBroken,
    Kind::UpstreamBusy,
    Kind::Panicked,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_is_counted() {
        let text = include_str!("../error/kind.rs");
        let kinds = text.split("pub enum Kind {").nth(1).expect("the kinds");
        let kinds = kinds.split("\n}").next().expect("their end");
        let kinds: Vec<&str> = kinds
            .lines()
            .filter_map(|line| line.trim().strip_suffix(','))
            .filter(|line| !line.starts_with("//"))
            .collect();
        let counted: Vec<String> = REASONS.iter().map(|kind| format!("{kind:?}")).collect();
        assert_eq!(counted, kinds);
        for (place, kind) in REASONS.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{kind:?}");
        }
    }
}
