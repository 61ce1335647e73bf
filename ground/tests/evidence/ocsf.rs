//! OCSF: every record against the schema, version 1.8.0, as `ocsf/distill.py` took it from its source.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::desk::{Desk, golden};

/// What is wrong with a value that should be of this class or object.
fn check(schema: &Value, of: &Value, value: &Value, place: &str, wrong: &mut Vec<String>) {
    let Some(map) = value.as_object() else { return wrong.push(format!("{place}: not an object")) };
    let attributes = of["attributes"].as_object().expect("the schema has attributes");
    for (name, attribute) in attributes {
        if attribute["required"] == true && !map.contains_key(name) {
            wrong.push(format!("{place}.{name}: required, and not there"));
        }
    }
    if let Some(names) = of["constraints"]["at_least_one"].as_array()
        && !names.iter().any(|name| map.contains_key(name.as_str().expect("a name")))
    {
        wrong.push(format!("{place}: none of {names:?}"));
    }
    for (name, value) in map {
        let place = format!("{place}.{name}");
        let Some(attribute) = attributes.get(name) else {
            wrong.push(format!("{place}: the schema has no such attribute, or has deprecated it"));
            continue;
        };
        let values = match (attribute["array"] == true, value.as_array()) {
            (true, Some(list)) => list.iter().collect(),
            (false, None) => vec![value],
            _ => {
                wrong.push(format!(
                    "{place}: a list where there should be none, or none where there should be"
                ));
                continue;
            }
        };
        for value in values {
            check_value(schema, attribute, value, &place, wrong);
        }
    }
    // Where a number has a name, both must be the schema's.
    for (name, value) in map {
        let caption = name.strip_suffix("_id").and_then(|base| map.get(base)).and_then(Value::as_str);
        let number = value.as_u64().filter(|number| *number != 99);
        if let (Some(caption), Some(number)) = (caption, number)
            && let Some(known) = attributes.get(name).and_then(|it| it["enum"][number.to_string()].as_str())
            && known != caption
        {
            wrong.push(format!("{place}.{name}: {number} is {known}, not {caption}"));
        }
    }
}

fn check_value(schema: &Value, attribute: &Value, value: &Value, place: &str, wrong: &mut Vec<String>) {
    let kind = attribute["type"].as_str().expect("a type");
    let fits = match kind {
        "integer_t" | "long_t" | "timestamp_t" => value.is_i64() || value.is_u64(),
        "port_t" => value.as_u64().is_some_and(|port| port < 65_536),
        "boolean_t" => value.is_boolean(),
        "ip_t" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        "object" | "json_t" => value.is_object(),
        kind if kind.ends_with("_t") => value.is_string(),
        object => {
            let of = &schema["objects"][object];
            if of.is_null() {
                return wrong.push(format!("{place}: object {object} is not in the distilled schema"));
            }
            return check(schema, of, value, place, wrong);
        }
    };
    if !fits {
        wrong.push(format!("{place}: {value} is no {kind}"));
    }
    if let (Some(list), Some(number)) = (attribute["enum"].as_object(), value.as_u64())
        && !list.contains_key(&number.to_string())
    {
        wrong.push(format!("{place}: {number} is not in its list"));
    }
}

/// What is wrong with a record.
fn problems(schema: &Value, record: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let number = |name: &str| record[name].as_u64().unwrap_or(u64::MAX);
    let class = &schema["classes"][number("class_uid").to_string()];
    if class.is_null() {
        return vec![format!("class {} is none of ours", record["class_uid"])];
    }
    if number("category_uid") != class["category"].as_u64().expect("a category") {
        wrong.push("category_uid is not the class's".to_owned());
    }
    if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
        wrong.push("type_uid is not class and activity".to_owned());
    }
    if record["metadata"]["version"] != schema["version"] {
        wrong.push("the version is not the schema's".to_owned());
    }
    check(schema, class, record, &format!("class {}", record["class_uid"]), &mut wrong);
    wrong
}

fn schema() -> Value {
    serde_json::from_str(include_str!("ocsf/schema.json")).expect("the distilled schema")
}

#[test]
fn every_record_fits_the_schema() {
    let desk = Desk::with_every_kind();
    let schema = schema();
    let records = desk.lines(&["convert", "--to", "ocsf", "all.cbor"]);
    let mut classes: BTreeMap<u64, usize> = BTreeMap::new();
    for record in &records {
        assert_eq!(problems(&schema, record), [""; 0], "{record}");
        *classes.entry(record["class_uid"].as_u64().expect("checked")).or_default() += 1;
    }
    // Every event has its own record; fifteen of the first boot and two of the second were denied, three audited.
    let events = desk.lines(&["convert", "--to", "jsonl", "all.cbor"]).len();
    assert_eq!(classes[&2004], 20);
    assert_eq!(classes.values().sum::<usize>(), events + 20);
    let of = |class: u64| classes[&class];
    assert_eq!((of(1007), of(1001), of(1002), of(1003), of(4001)), (12, 19, 2, 4, 6));
    golden("events.ocsf.jsonl", &desk.good(&["convert", "--to", "ocsf", "all.cbor"]));
}

#[test]
fn the_check_against_the_schema_finds_what_is_wrong() {
    let desk = Desk::with_every_kind();
    let schema = schema();
    let records = desk.lines(&["convert", "--to", "ocsf", "all.cbor"]);
    let open = records.iter().find(|record| record["class_uid"] == 1001).expect("an open");
    let with = |pointer: &str, value: Value| {
        let mut record = open.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = record.pointer_mut(parent).expect("there").as_object_mut().expect("an object");
        if value.is_null() {
            parent.remove(name)
        } else {
            parent.insert(name.to_owned(), value)
        };
        problems(&schema, &record)
    };
    assert!(with("/message", "another".into()).is_empty());
    for (pointer, value) in [
        ("/time", Value::Null),
        ("/time", "now".into()),
        ("/file/name", Value::Null),
        ("/actor", serde_json::json!({})),
        ("/device/type_id", Value::Null),
        ("/activity_id", 13.into()),
        ("/action_id", 77.into()),
        ("/action", "Denied".into()),
        ("/category_uid", 4.into()),
        ("/class_uid", 1002.into()),
        ("/colour", "red".into()),
        ("/metadata/version", "1.7.0".into()),
        ("/metadata/profiles", "host".into()),
    ] {
        assert!(!with(pointer, value.clone()).is_empty(), "{pointer} = {value}");
    }
}
