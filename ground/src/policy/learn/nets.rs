//! Addresses: which were connected and bound to.
//!
//! The kernel has sixteen places for what rules say of one address: two for the denials, six for what an address was seen to
//! be connected by, eight for what was bound to. What was seen beyond that is widened to all ports, and then to all protocols.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use aegis_policy::{Family, Operation, Prefix};

use super::super::limits;
use super::super::render::quoted;
use super::super::target::protocol_name;

/// Ports by protocol.
type Ends = BTreeMap<u8, BTreeSet<u16>>;

/// Most protocols of an address, and most ports of each, before they are widened.
const PROTOCOLS: usize = 2;
const CONNECTED: usize = 3;
const BOUND: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Nets {
    connected: BTreeMap<Prefix, Ends>,
    bound: Ends,
    /// There were more than can be listed: then nothing is denied.
    many: bool,
}

impl Nets {
    /// Takes an access; or says why it is left out.
    pub(super) fn take(
        &mut self,
        family: Family,
        address: &[u8],
        port: u16,
        protocol: u8,
        operation: Operation,
    ) -> Result<(), &'static str> {
        let prefix = Prefix::of(family, address).ok_or("an address of another family")?;
        let ends = if operation == Operation::Bind {
            &mut self.bound
        } else if self.connected.len() >= limits::LEARNED_ADDRESSES && !self.connected.contains_key(&prefix) {
            self.many = true;
            return Err("more addresses than a rule holds; so none is denied");
        } else {
            self.connected.entry(prefix).or_default()
        };
        let ports = ends.entry(protocol).or_default();
        // One more than is told apart stands for all.
        if ports.len() <= BOUND {
            ports.insert(port);
        }
        Ok(())
    }

    pub(super) fn write(&self, out: &mut String, workload: &str) -> std::fmt::Result {
        let workload = quoted(workload);
        if self.many {
            return Ok(());
        }
        let mut alike: BTreeMap<(u8, Vec<u16>), Vec<Prefix>> = BTreeMap::new();
        for (address, ends) in &self.connected {
            for end in widened(ends, CONNECTED) {
                alike.entry(end).or_default().push(*address);
            }
        }
        let what = if alike.is_empty() { "No address" } else { "No address but those below" };
        writeln!(out, "\n# {what} was seen to be connected to. Review each: who is it?")?;
        writeln!(
            out,
            "[[rule]]\nname = \"no-connect\"\nworkloads = [{workload}]\naction = \"deny\"\noperations = [\"connect\"]"
        )?;
        for (number, ((protocol, ports), addresses)) in (1..).zip(&alike) {
            let addresses: Vec<String> = addresses.iter().map(|of| quoted(&of.to_string())).collect();
            writeln!(
                out,
                "\n[[rule]]\nname = \"may-connect-{number}\"\nworkloads = [{workload}]\naction = \"allow\"\noverride = true\n\
                 operations = [\"connect\"]\naddresses = [\n    {},\n]",
                addresses.join(",\n    ")
            )?;
            write_end(out, *protocol, ports)?;
        }
        // An agent before ABI 4 recorded none.
        let bound = widened(&self.bound, BOUND);
        if bound.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n# No port but those below was seen to be bound to.\n[[rule]]\nname = \"no-bind\"\nworkloads = [{workload}]\n\
             action = \"deny\"\noperations = [\"bind\"]"
        )?;
        for (number, (protocol, ports)) in (1..).zip(&bound) {
            writeln!(
                out,
                "\n[[rule]]\nname = \"may-bind-{number}\"\nworkloads = [{workload}]\naction = \"allow\"\noverride = true\n\
                 operations = [\"bind\"]"
            )?;
            write_end(out, *protocol, ports)?;
        }
        Ok(())
    }
}

/// By protocol the ports, none standing for all; protocol 0 stands for any.
fn widened(ends: &Ends, most: usize) -> Vec<(u8, Vec<u16>)> {
    if ends.len() > PROTOCOLS || ends.contains_key(&0) {
        return vec![(0, Vec::new())];
    }
    let ports = |ports: &BTreeSet<u16>| -> Vec<u16> {
        if ports.len() > most { Vec::new() } else { ports.iter().copied().collect() }
    };
    ends.iter().map(|(protocol, of)| (*protocol, ports(of))).collect()
}

fn write_end(out: &mut String, protocol: u8, ports: &[u16]) -> std::fmt::Result {
    if !ports.is_empty() {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        writeln!(out, "ports = [{}]", ports.join(", "))?;
    }
    if protocol > 0 {
        writeln!(out, "protocols = [{}]", quoted(&protocol_name(protocol)))?;
    }
    Ok(())
}
