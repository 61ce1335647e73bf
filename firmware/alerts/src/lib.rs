//! Alerts of a policy over the figures of a device.
//!
//! - [`Engine`]: hears every series of a look ([`aegis_metrics::Tap`]), and says at its end what fires and what is over.
//! - [`State`]: one alert's state, and the one function that moves it.
//!
//! Figures and a time in, changes out. Nothing here opens a file or knows a clock; after [`Engine::take`] nothing allocates.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod engine;
pub mod limits;
mod series;
mod state;
mod window;

pub use engine::{Change, Engine, Row};
pub use state::{Phase, State};
