//! Tells HTTP/2 from HTTP/1.1 by the first bytes (RFC 9113 section 3.4), which stay unread.

use std::future::poll_fn;
use std::io;

use crate::wire::Link;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads no more than it takes to tell.
pub(super) async fn is_http2(link: &mut Link) -> io::Result<bool> {
    loop {
        let seen = &link.input[..link.input.len().min(PREFACE.len())];
        if !PREFACE.starts_with(seen) {
            return Ok(false);
        }
        if seen.len() == PREFACE.len() {
            return Ok(true);
        }
        if !poll_fn(|cx| link.poll_fill(cx)).await? {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::wire::Plain;

    async fn told(first: &[u8]) -> (bool, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let mut client = TcpStream::connect(address).await.expect("a connection");
        let (stream, _) = listener.accept().await.expect("a client");
        client.write_all(first).await.expect("written");
        drop(client);
        let mut link = Link::plain(Plain::new(stream));
        let is_http2 = is_http2(&mut link).await.expect("readable");
        while poll_fn(|cx| link.poll_fill(cx)).await.expect("readable") {}
        (is_http2, link.input.to_vec())
    }

    #[tokio::test]
    async fn only_the_whole_preface_means_http2_and_no_byte_is_lost() {
        let cases: [(&[u8], bool); 5] = [
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest", true),
            (b"PRI * HTTP/2.0\r\n\r\nXX", false),
            (b"POST /v1/x HTTP/1.1\r\n\r\n", false),
            (b"PR", false),
            (b"", false),
        ];
        for (first, expected) in cases {
            assert_eq!(told(first).await, (expected, first.to_vec()));
        }
    }
}
