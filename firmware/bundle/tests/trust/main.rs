//! What is let in and what is not: bundles, root metadata, tokens; and what trust leaves behind.

mod common;
mod images;
mod kept;
mod open;
mod roots;
mod site;
mod tokens;
mod workloads;
