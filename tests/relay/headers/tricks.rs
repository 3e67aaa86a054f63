//! Two hundred ways to smuggle a header, and as many headers that only look like it.

use std::collections::BTreeSet;

/// Of the client's connection, network or page; never goes up, however it is spelled.
pub const DROPPED: [&str; 44] = [
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "TE",
    "Upgrade",
    "HTTP2-Settings",
    "Cookie",
    "Cookie2",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Ssl",
    "X-Forwarded-By",
    "X-Forwarded-Uri",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-User",
    "X-Forwarded-Anything",
    "X-Forwarded-",
    "X-Real-IP",
    "Via",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CF-Pseudo-IPv4",
    "CF-Ray",
    "CF-IPCountry",
    "CF-Visitor",
    "CF-Worker",
    "CF-EW-Via",
    "CF-",
    "True-Client-IP",
    "Origin",
    "Referer",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "Fastly-Client-IP",
    "X-Envoy-External-Address",
    "X-Original-Forwarded-For",
];

/// Goes up with exactly this value; half of them look like something that must not.
pub const KEPT: [(&str, &[u8]); 56] = [
    ("Accept", b"application/json"),
    ("Accept-Encoding", b"gzip, br"),
    ("Accept-Language", b"de, en;q=0.5"),
    ("User-Agent", b"OpenAI/Python 3.52.0"),
    ("OpenAI-Beta", b"assistants=v2"),
    ("OpenAI-Organization", b"org-1"),
    ("OpenAI-Project", b"proj_1"),
    ("OpenAI-Safety-Identifier", b"u1"),
    ("Idempotency-Key", b"i-1"),
    ("X-Stainless-Retry-Count", b"0"),
    ("X-Client-Request-Id", b"c-1"),
    ("X-Request-Id", b"r-1"),
    (
        "traceparent",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("tracestate", b"a=1,b=2"),
    ("baggage", b"k=v"),
    ("Range", b"bytes=0-1"),
    ("If-None-Match", b"\"x\""),
    ("Cache-Control", b"no-cache"),
    ("Content-Language", b"en"),
    ("X-Api-Key", b"k"),
    ("Api-Key", b"k"),
    ("DNT", b"1"),
    ("Priority", b"u=1, i"),
    ("Sec-Fetch-Mode", b"cors"),
    ("Max-Forwards", b"3"),
    ("Date", b"Sat, 21 Nov 2026 05:00:00 GMT"),
    ("X-Forward", b"near"),
    ("X-Forwarded", b"near"),
    ("X-XForwarded-For", b"near"),
    ("Forwarded-For", b"near"),
    ("Cookies", b"near"),
    ("Cookie-Consent", b"near"),
    ("X-Cookie", b"near"),
    ("Viable", b"near"),
    ("X-Via", b"near"),
    ("CF", b"near"),
    ("CFX-Ray", b"near"),
    ("X-CF-Ray", b"near"),
    ("Original", b"near"),
    ("X-Origin", b"near"),
    ("Referrer", b"near"),
    ("X-Host", b"near"),
    ("Upgrade-Insecure-Requests", b"1"),
    ("X-Connection", b"near"),
    ("X-Authorization", b"near"),
    ("My_Own_Header", b"1"),
    ("!#$%&'*+-.^_`|~0aZ", b"every sign of a name"),
    ("X-Empty", b""),
    ("X-Tab", b"a\tb\t\tc"),
    ("X-Spaces", b"a  b   c"),
    ("X-Latin", b"J\xf6rg"),
    ("X-Utf8", "J\u{f6}rg \u{65e5}\u{1f600}".as_bytes()),
    ("X-All-Obs", b"\x80\x9f\xa0\xff"),
    ("X-Signs", b"\"(),/:;<=>?@[\\]{}' ~!#$%&*+-.^_`|"),
    ("X-Percent", b"a%0d%0aX-Evil: 1%00"),
    ("X-Escapes", b"\\r\\nX-Evil: 1\\0"),
];

/// Header lines, and what of them may arrive: names in lower case, in order.
pub struct Trick {
    pub lines: Vec<Vec<u8>>,
    pub arrives: Vec<(String, Vec<u8>)>,
}

impl Trick {
    pub fn dropped(lines: &[&[u8]]) -> Trick {
        Trick {
            lines: lines.iter().map(|line| line.to_vec()).collect(),
            arrives: Vec::new(),
        }
    }

    pub fn and(mut self, name: &str, value: &[u8]) -> Trick {
        self.lines.push(line(name, value));
        self.arrives.push((name.to_lowercase(), value.to_vec()));
        self
    }

    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.lines.join(&b" | "[..])).into_owned()
    }
}

pub fn line(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b": ", value].concat()
}

pub fn spellings(name: &str) -> BTreeSet<String> {
    let mixed = name.chars().enumerate().map(|(at, letter)| {
        if at % 2 == 0 {
            letter.to_ascii_lowercase()
        } else {
            letter.to_ascii_uppercase()
        }
    });
    let aliases = [
        name.replace('-', "_"),
        name.replacen('-', "_", 1),
        name.to_uppercase().replace('-', "_"),
    ];
    let plain = [name.to_owned(), name.to_lowercase(), name.to_uppercase()];
    plain
        .into_iter()
        .chain([mixed.collect()])
        .chain(aliases)
        .collect()
}

pub fn dropped_names() -> Vec<Trick> {
    let spelled = DROPPED.iter().flat_map(|name| spellings(name));
    let aliases = [
        "Content_Length",
        "content_length",
        "CONTENT_LENGTH",
        "Transfer_Encoding",
        "transfer_encoding",
    ];
    spelled
        .chain(aliases.map(str::to_owned))
        .map(|name| Trick::dropped(&[&line(&name, b"smuggled")]).and("X-Witness", b"1"))
        .collect()
}

/// Headers that the `Connection` lines name, in every way to write such a list.
pub fn named_by_connection() -> Vec<Trick> {
    let lists: [&[&[u8]]; 13] = [
        &[b"x-hop"],
        &[b"X-HOP"],
        &[b"close, x-hop"],
        &[b"x-hop, close"],
        &[b"x-hop,keep-alive"],
        &[b" x-hop "],
        &[b",,x-hop,,"],
        &[b"x-other , x-hop"],
        &[b"\tx-hop\t,\tx-other"],
        &[b"x-hop, x-hop"],
        &[b"x-other", b"x-hop"],
        &[b"close", b"", b"x-other, x-hop"],
        &[b"", b"x-hop"],
    ];
    let mut all = Vec::new();
    for list in lists {
        for name in ["X-Hop", "x-hop", "X-HOP"] {
            let mut lines: Vec<Vec<u8>> =
                list.iter().map(|value| line("Connection", value)).collect();
            lines.push(line(name, b"smuggled"));
            lines.push(line(name, b"smuggled again"));
            lines.push(line("X-Other", b"smuggled"));
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let names_other = list.iter().any(|value| find(value, b"x-other"));
            let kept = &lines[..lines.len() - usize::from(!names_other)];
            all.push(Trick::dropped(kept).and("X-Witness", b"1"));
        }
    }
    let end_to_end = [
        "Accept",
        "Content-Type",
        "OpenAI-Beta",
        "X-Stainless-Lang",
        "traceparent",
        "My_Own",
    ];
    for name in end_to_end {
        let connection = line("Connection", name.as_bytes());
        let first = Trick::dropped(&[&connection, &line(name, b"smuggled")]);
        all.push(first.and("X-Witness", b"1"));
        let last = Trick::dropped(&[&line(name, b"smuggled"), &connection]);
        all.push(last.and("X-Witness", b"1"));
    }
    all
}

/// What the relay itself must not lose over a list: its own credential and host.
pub fn odd_connections() -> Vec<Trick> {
    let lists: [&[u8]; 6] = [
        b"authorization",
        b"host",
        b"Authorization, Host, close",
        b"connection",
        b"upgrade",
        b"TE, keep-alive, proxy-authorization",
    ];
    let mut all: Vec<Trick> = lists
        .iter()
        .map(|list| Trick::dropped(&[&line("Connection", list)]).and("X-Witness", b"1"))
        .collect();
    let h2c: [&[u8]; 3] = [
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQAAP__",
    ];
    all.push(Trick::dropped(&h2c).and("X-Witness", b"1"));
    let cookies: [&[u8]; 3] = [b"Cookie: a=1; b=2", b"cookie: c=3", b"COOKIE: d=4"];
    all.push(Trick::dropped(&cookies).and("X-Witness", b"1"));
    all
}

/// Lists of transfer codings: only the promise to take trailers may go on.
pub fn te_lists() -> Vec<Trick> {
    let lists: [(&[u8], bool); 9] = [
        (b"gzip", false),
        (b"trailers", true),
        (b"Trailers", true),
        (b"gzip;q=0.5, trailers", true),
        (b"trailers, deflate", true),
        (b"trailersx", false),
        (b"x-trailers", false),
        (b"", false),
        (b"chunked, gzip", false),
    ];
    let trick = |(list, takes_trailers): (&[u8], bool)| {
        let mut trick = Trick::dropped(&[&line("TE", list), b"Connection: TE"]);
        if takes_trailers {
            trick.arrives.push(("te".to_owned(), b"trailers".to_vec()));
        }
        trick
    };
    lists.into_iter().map(trick).collect()
}

pub fn kept_headers() -> Vec<Trick> {
    let one = KEPT
        .iter()
        .map(|(name, value)| Trick::dropped(&[]).and(name, value));
    let long = vec![b'v'; 16 * 1024];
    let many = (0..200).fold(Trick::dropped(&[]), |trick, number| {
        trick.and("X-Many", number.to_string().as_bytes())
    });
    one.chain([Trick::dropped(&[]).and("X-Long", &long), many])
        .collect()
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
