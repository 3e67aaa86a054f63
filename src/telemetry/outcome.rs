//! Outcome: how an exchange ended. Exactly one for each.

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both bodies ended as announced.
    Completed,
    /// The client left first.
    ClientGone,
    /// The upstream could not be reached, broke off, or stayed silent too long.
    UpstreamFailed,
    /// The client took no byte more of its answer for too long.
    Stalled,
    /// A session that had lasted, or was silent, for as long as it may.
    Idle,
    /// The relay shut down and could wait no longer.
    Drained,
    /// The caller's credential was withdrawn while it ran.
    Revoked,
    /// The relay itself said no.
    Refused,
    /// The relay made a mistake.
    Panicked,
}

impl Outcome {
    /// All of them, in the order of their counters.
    pub const ALL: [Outcome; 9] = [
        Outcome::Completed,
        Outcome::ClientGone,
        Outcome::UpstreamFailed,
        Outcome::Stalled,
        Outcome::Idle,
        Outcome::Drained,
        Outcome::Revoked,
        Outcome::Refused,
        Outcome::Panicked,
    ];

    /// The label in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::ClientGone => "client_gone",
            Outcome::UpstreamFailed => "upstream_failed",
            Outcome::Stalled => "stalled",
            Outcome::Idle => "idle",
            Outcome::Drained => "drained",
            Outcome::Revoked => "revoked",
            Outcome::Refused => "refused",
            Outcome::Panicked => "panicked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_place() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place, "{outcome:?}");
        }
    }
}
