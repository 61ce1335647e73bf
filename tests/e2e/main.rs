//! Scenarios in the guest: a real image, a real kernel, a real agent. Each boots at least once (10 to 20 s on two
//! cores), two guests at a time. `make test` runs them; `AEGIS_NO_BUILD=1` takes the image as it is,
//! `AEGIS_KERNEL=debian` boots Debian's kernel.

mod agent;
mod alerts;
mod bundles;
mod config;
mod console;
mod demo;
mod doctor;
mod enforcement;
mod export;
mod faults;
mod firmware;
mod glass;
mod harness;
mod image;
mod init;
mod kills;
mod metrics;
mod observation;
mod power;
mod ring;
mod runbooks;
mod sbom;
mod site;
mod sticks;
mod storage;
mod suite;
mod swap;
mod tamper;
mod tour;
mod tpm;
mod trust;
mod update;
mod workloads;
