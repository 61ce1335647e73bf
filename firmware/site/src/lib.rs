//! The endpoint on an isolated site network (`docs/site.md`): health, metrics and events over TLS 1.3, for clients whose certificates
//! the signed policy names. A program of its own, in two processes, or three:
//!
//! - [`keep`]: the keeper. It may do what the rest of the device's programs may, and reads nothing from the network. It asks the agent
//!   what the policy in force says, keeps key and certificate, raises the card, listens, and starts the server with what it needs: one
//!   listening socket, one line to the keeper. For each request it starts the agent's own command, and hands on what that prints.
//! - [`serve`]: the server. No capability, no new privilege, a user of its own, a short list of system calls, a bounded memory. It
//!   can open nothing; what it answers with comes over the line.
//! - [`push`]: the pusher, for as long as there is something to push to the policy's collector. Confined as the server is; the keeper
//!   hands it one connection, and one file of a signed export after the other.
//!
//! Nothing of it runs, and no card is up, unless the policy in force has a `[site]`.
#![deny(unsafe_code)]

mod confine;
pub mod figures;
mod io;
pub mod items;
pub mod keep;
mod limits;
pub mod offer;
pub mod push;
pub mod request;
pub mod serve;
mod tls;
mod wire;
