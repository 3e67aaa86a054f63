//! Accounts: what people, their clients, admins and attackers see, on SQLite and on Postgres.

mod access;
mod admin;
mod chat;
mod durability;
mod forged;
mod guessing;
mod injection;
mod leaving;
mod matrix;
mod old_users;
mod origin;
mod outage;
mod pages;
mod refresh;
mod rest;
mod routes;
mod table;

use crate::support::people::on_both;
use crate::support::{
    Answer, Database, Home, PASSWORD, People, Postgres, RELAY_TOKEN, Relay, SERVER_KEY, Tokens,
    call, eventually, get, kills, post, request, send, trust,
};
