//! Configurations of devices, at the office: what a device would take.

use std::fs;

use super::Desk;

#[test]
fn the_template_is_good_and_a_mistake_is_told_with_its_line() {
    let desk = Desk::new();
    let template = desk.good("config template");
    assert_eq!(template, aegis_config::template());
    fs::write(desk.path("config.toml"), &template).expect("written");
    assert_eq!(desk.good("config check config.toml"), "config.toml: good\n");
    fs::write(desk.path("bad.toml"), "[log]\nformt = 'json'\n").expect("written");
    let (exit, out, _) = desk.run("config check bad.toml");
    assert_eq!(exit, 1);
    assert_eq!(out, "bad.toml: line 2: \"formt\" is no key of [log] (did you mean format?) (unknown-key)\n");
    let (exit, found) = desk.json("config check bad.toml");
    assert_eq!((exit, &found["good"], &found["faults"][0]["line"]), (1, &false.into(), &2.into()));
    fs::write(desk.path("long.toml"), "#".repeat(1 << 20)).expect("written");
    let (exit, out, _) = desk.run("config check long.toml");
    assert!(exit == 1 && out.contains("(too-long)"), "{out}");
    let (exit, _, err) = desk.run("config check none.toml");
    assert!(exit == 2 && err.lines().count() == 1, "{err}");
}
