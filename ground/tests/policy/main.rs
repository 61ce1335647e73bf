//! Policy through the command line, as an author or a script has it: sources, templates, tests, comparison, events.

mod desk;
mod events;
mod files;
mod hostile;
mod mends;
#[path = "../evidence/sample.rs"]
#[allow(dead_code, reason = "it is the evidence tests' own; a few events are enough here")]
mod sample;
mod tools;
