//! HTTP/1.1 as bytes: requests off a socket, answers onto it.

mod answer;
mod head;
mod input;
mod output;

pub(crate) use answer::{Answer, Body, data, named};
pub(crate) use head::{Head, percent_decode};
pub(crate) use input::{Input, ReadError};
pub(crate) use output::{Ending, write_answer};
