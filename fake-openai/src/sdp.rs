//! SDP offers in, plausible answers out (wire.md 6.3).

/// Answers an offer as OpenAI does: ice-lite, active DTLS, the caller's first audio payload type.
pub(crate) fn answer(offer: &str, call: &str) -> Result<String, String> {
    check(offer)?;
    let mids = values(offer, "a=mid:");
    let mut out = String::from(
        "v=0\r\no=- 4611686018427387904 1790000000 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=msid-semantic:WMS *\r\n",
    );
    let fingerprint: Vec<String> = (0..32)
        .map(|byte| format!("{:02X}", byte * 7 + 3))
        .collect();
    out.push_str(&format!(
        "a=fingerprint:sha-256 {}\r\n",
        fingerprint.join(":")
    ));
    out.push_str("a=ice-lite\r\na=extmap-allow-mixed\r\n");
    out.push_str(&format!("a=group:BUNDLE {}\r\n", mids.join(" ")));
    let ice = format!(
        "a=ice-ufrag:Qx7ePz1/u0/{}\r\na=ice-pwd:k2Wc9TtVb4Ys7LmQe1Rf8NhXz5Jp3GdA\r\n",
        &call[call.len() - 6..]
    );
    for (at, media) in values(offer, "m=").iter().enumerate() {
        let mid = mids.get(at).copied().unwrap_or("0");
        if media.starts_with("audio") {
            out.push_str(&audio(media, offer, mid, &ice));
        } else {
            out.push_str(&format!("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=setup:active\r\na=mid:{mid}\r\na=sendrecv\r\na=sctp-port:5000\r\na=max-message-size:1073741823\r\n{ice}"));
        }
    }
    Ok(out)
}

fn audio(media: &str, offer: &str, mid: &str, ice: &str) -> String {
    let opus = values(offer, "a=rtpmap:")
        .into_iter()
        .find_map(|map| {
            map.split_once(' ')
                .filter(|(_, codec)| codec.starts_with("opus/"))
        })
        .map(|(payload, _)| payload);
    let payload = opus.or_else(|| media.split(' ').nth(3)).unwrap_or("111");
    let mut out = format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF {payload}\r\nc=IN IP4 0.0.0.0\r\na=setup:active\r\na=mid:{mid}\r\n{ice}a=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:{payload} opus/48000/2\r\na=fmtp:{payload} minptime=10;useinbandfec=1\r\na=ssrc:1234567890 cname:realtimeapi\r\na=ssrc:1234567890 msid:realtimeapi audio\r\na=msid:realtimeapi audio\r\na=sendrecv\r\n"
    );
    let ufrag = values(ice, "a=ice-ufrag:")
        .first()
        .copied()
        .unwrap_or_default()
        .to_owned();
    for host in ["192.0.2.10", "192.0.2.11", "192.0.2.12"] {
        out.push_str(&format!("a=candidate:1000000001 1 udp 2130706431 {host} 3478 typ host ufrag {ufrag}\r\na=candidate:1000000002 1 tcp 1671430143 {host} 443 typ host tcptype passive ufrag {ufrag}\r\n"));
    }
    out
}

fn check(offer: &str) -> Result<(), String> {
    if !offer.starts_with("v=0") {
        return Err("Failed to parse SDP offer: it does not start with v=0.".to_owned());
    }
    if !offer.ends_with('\n') {
        return Err("Failed to parse SDP offer: the last line does not end.".to_owned());
    }
    for needed in ["m=", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"] {
        if values(offer, needed).is_empty() {
            return Err(format!("Failed to parse SDP offer: no {needed} line."));
        }
    }
    Ok(())
}

fn values<'a>(sdp: &'a str, start: &str) -> Vec<&'a str> {
    sdp.lines()
        .filter_map(|line| line.strip_prefix(start))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96 0\r\na=mid:a0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 00\r\na=rtpmap:96 opus/48000/2\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d1\r\n";

    #[test]
    fn the_answer_copies_mids_and_payload_type_and_ends_its_last_line() {
        let answer = answer(OFFER, "rtc_u0_123456").expect("an answer");
        for part in [
            "a=group:BUNDLE a0 d1\r\n",
            "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\n",
            "a=ice-lite\r\n",
        ] {
            assert!(answer.contains(part), "{part}");
        }
        assert!(answer.ends_with("\r\n"));
    }

    #[test]
    fn an_offer_that_was_trimmed_is_refused() {
        assert!(answer(OFFER.trim_end(), "rtc_u0_123456").is_err());
    }
}
