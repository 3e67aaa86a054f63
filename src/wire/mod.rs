//! HTTP/1.1 on the wire (RFC 9112), the same for either end: heads, the framing of bodies, links
//! that carry both, and the pace that a peer must keep. Knows nothing of what travels, or why.

mod body;
mod chunked;
mod clock;
mod framing;
mod grammar;
mod head;
mod link;
mod message;
mod output;
mod pace;
mod plain;
mod spares;
mod stream;
mod target;
mod whole;

pub use body::{BodyError, ClientBody, Inbound};
pub use clock::lately;
pub use framing::{Decoder, Framing, Piece};
pub use head::{
    HeadError, HeadScan, RequestHead, ResponseHead, parse_request, parse_response, write_request,
    write_response,
};
pub use link::Link;
pub use message::{Answer, Request};
pub use output::Output;
pub use pace::{Pace, Timer};
pub use plain::Plain;
pub use stream::Io;
pub use target::Target;
pub use whole::{read_whole, read_whole_while};
