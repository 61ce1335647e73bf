//! `aegis config`: is a file good, what holds, and the file to begin with.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::{self, Config, Refused};
use crate::outcome::{Failure, Outcome, say};

/// Would this file be taken? Exit 0 when it is good, 1 when it is refused, 2 when it is not there. Without a file: is
/// what holds what is configured?
pub(crate) fn check(file: Option<&Path>, json: bool) -> Outcome {
    let own = config::path();
    let path = file.unwrap_or(&own);
    let mut there = true;
    let refused = match config::check(file) {
        Ok(Some(_)) => None,
        Ok(None) if file.is_some() => {
            return Err(Failure::error(format!("{}: there is no such file", path.display())));
        }
        Ok(None) => {
            there = false;
            None
        }
        Err(refused) => {
            there = !matches!(refused, Refused::Missing | Refused::NoStorage);
            Some(refused)
        }
    };
    let faults = refused.as_ref().map(Refused::each).unwrap_or_default();
    if json {
        let faults: Vec<Value> = faults
            .iter()
            .map(|(line, code, detail)| json!({ "line": line, "code": code, "detail": detail }))
            .collect();
        say(&json!({ "file": path.display().to_string(), "there": there, "good": refused.is_none(), "faults": faults })
            .to_string())?;
    } else if refused.is_none() {
        say(&format!("{}: {}", path.display(), if there { "good" } else { "not there: the defaults hold" }))?;
    } else {
        for (line, code, detail) in &faults {
            let place = if *line > 0 { format!("line {line}: ") } else { String::new() };
            say(&format!("{place}{detail} ({code})"))?;
        }
    }
    match refused {
        None => Ok(()),
        Some(_) => Err(Failure::refused(format!("{}: refused", path.display()))),
    }
}

/// What holds from the next start on, and where it comes from. Exit 1 when that is not what is configured.
pub(crate) fn show(json: bool) -> Outcome {
    let loaded = config::look();
    if json {
        say(&show_json().to_string())?;
    } else {
        let source = loaded.source.name();
        say(&format!("# source: {source}\n{}", aegis_config::to_toml(&loaded.config).trim_end()))?;
    }
    loaded.fault.map_or(Ok(()), |fault| Err(Failure::refused(fault)))
}

/// The same, as `aegis config show --json` prints it.
pub(super) fn show_json() -> Value {
    let loaded = config::look();
    json!({
        "source": loaded.source.name(),
        "file": config::path().display().to_string(),
        "fault": loaded.fault,
        "config": values(&loaded.config),
    })
}

/// The file to begin with.
pub(crate) fn template() -> Outcome {
    say(aegis_config::template().trim_end())
}

/// By table and key. A key that says nothing, by what else is set, is null.
fn values(config: &Config) -> Value {
    let mut tables = Map::new();
    for key in &aegis_config::KEYS {
        use aegis_config::Kind;
        let value = match key.kind {
            Kind::Choice { get, .. } => get(config).into(),
            Kind::Number { get, .. } => get(config).into(),
            Kind::Name { get, .. } => get(config).into(),
            Kind::Recipients { get, .. } => get(config).into(),
        };
        let table = tables.entry(key.table).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(table) = table {
            table.insert(key.name.into(), value);
        }
    }
    Value::Object(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_as_json() {
        let json = values(&Config::default()).to_string();
        let wanted = r#"{"alerts":{"led":""},"events":{"argv":"whole"},"export":{"every_minutes":0,"recipients":[]},"log":{"file_kib":256,"format":"text","level":"info"},"ring":{"checkpoint_seconds":60,"full":"overwrite","sync":"window","window_ms":100}}"#;
        assert_eq!(json, wanted);
    }
}
