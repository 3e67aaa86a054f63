//! Pure: whether a text is an SDP offer that a WebRTC peer can answer (RFC 8866, RFC 8839,
//! RFC 8122). Reads lines, changes nothing.

/// Says what is wrong with an offer, if anything.
pub(super) fn check_offer(sdp: &str) -> Result<(), &'static str> {
    if sdp.is_empty() {
        return Err("`sdp` is empty; send the offer of RTCPeerConnection.createOffer().");
    }
    if sdp
        .bytes()
        .any(|byte| byte < b' ' && !matches!(byte, b'\r' | b'\n' | b'\t'))
    {
        return Err("`sdp` holds control characters.");
    }
    let mut lines = sdp.lines();
    if lines.next() != Some("v=0") {
        return Err("`sdp` does not start with the line `v=0`.");
    }
    let body = || lines.clone().filter(|line| !line.is_empty());
    if !body().all(is_field) {
        return Err("`sdp` holds a line that is not of the form `x=value`.");
    }
    let needed = [
        ("o=", "`sdp` has no origin line (`o=`)."),
        ("m=", "`sdp` has no media section (`m=`)."),
        (
            "a=ice-ufrag:",
            "`sdp` has no `a=ice-ufrag`, so that no ICE check could succeed.",
        ),
        (
            "a=ice-pwd:",
            "`sdp` has no `a=ice-pwd`, so that no ICE check could succeed.",
        ),
        (
            "a=fingerprint:",
            "`sdp` has no `a=fingerprint`, so that DTLS could not be verified.",
        ),
    ];
    for (start, problem) in needed {
        if !body().any(|line| line.starts_with(start)) {
            return Err(problem);
        }
    }
    Ok(())
}

fn is_field(line: &str) -> bool {
    let mut bytes = line.bytes();
    matches!(bytes.next(), Some(b'a'..=b'z')) && bytes.next() == Some(b'=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
        a=fingerprint:sha-256 00:11\r\n";

    #[test]
    fn an_offer_of_a_browser_passes_with_either_line_end() {
        assert_eq!(check_offer(OFFER), Ok(()));
        assert_eq!(check_offer(&OFFER.replace("\r\n", "\n")), Ok(()));
    }

    #[test]
    fn each_missing_part_is_named() {
        for part in ["o=", "m=", "a=ice-ufrag", "a=ice-pwd", "a=fingerprint"] {
            let without: String = OFFER
                .lines()
                .filter(|line| !line.starts_with(part))
                .map(|line| format!("{line}\r\n"))
                .collect();
            let problem = check_offer(&without).expect_err("refused");
            assert!(
                problem.contains(part.trim_end_matches('=')),
                "{part}: {problem}"
            );
        }
    }

    #[test]
    fn what_is_not_sdp_is_refused() {
        for text in [
            "",
            "hello",
            "v=1\r\n",
            "{\"sdp\":1}",
            "v=0\r\nnonsense\r\n",
            "v=0\0",
        ] {
            assert!(check_offer(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_check_panic(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}") {
            let _ = check_offer(&text);
        }

        #[test]
        fn no_mutation_of_an_offer_makes_the_check_panic(at in 0..OFFER.len(), byte in 0u8..128) {
            let mut bytes = OFFER.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = check_offer(&String::from_utf8(bytes).expect("ASCII"));
        }
    }
}
