//! Decisions about bundles, root metadata, tokens, images and workloads, on a disk that loses power and a kernel that is not there.

mod counted;
mod cuts;
mod decisions;
mod every;
mod images;
mod offers;
mod roots;
mod settle;
mod workloads;
mod world;
