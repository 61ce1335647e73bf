//! `config`: the configuration of a device, as it lies on its disk.

use aegis_config::{Config, KEYS, Kind, read, template, to_toml};
use toml::de::{DeTable, DeValue};

use crate::Seed;

/// What is taken is TOML to another reader too, with the same values in it and no others; it is written back as the same.
/// What is refused is refused in lines that move no cursor.
pub fn run(data: &[u8]) -> bool {
    let config = match read(data) {
        Ok(config) => config,
        Err(faults) => {
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!(faults.iter().count() > 0);
            for fault in &faults {
                assert!(fault.line <= lines, "{fault} of {lines} lines");
                assert!(!fault.to_string().contains(char::is_control), "{fault:?}");
            }
            return false;
        }
    };
    assert_eq!(read(to_toml(&config).as_bytes()).as_ref(), Ok(&config));
    let text = str::from_utf8(data).expect("what is read is text");
    let document = DeTable::parse(text).unwrap_or_else(|error| panic!("taken, and no TOML: {error}"));
    let mut known = 0;
    for key in &KEYS {
        let table = document.get_ref().get(key.table).map(toml::Spanned::get_ref);
        let value = table.and_then(|table| table.as_table()?.get(key.name)).map(toml::Spanned::get_ref);
        known += usize::from(value.is_some());
        agree(&config, key.kind, value);
    }
    let there =
        document.get_ref().values().map(|table| table.get_ref().as_table().map_or(0, toml::map::Map::len));
    assert_eq!(there.sum::<usize>(), known, "a key that nobody read");
    true
}

/// What is set is what the file says, or the default.
fn agree(config: &Config, kind: Kind, value: Option<&DeValue<'_>>) {
    let default = Config::default();
    match kind {
        Kind::Choice { get, .. } => {
            let wanted = value.map_or(get(&default), |value| value.as_str().expect("a word"));
            assert_eq!(get(config), wanted);
        }
        Kind::Number { least, most, get, .. } => {
            let wanted = value.map(|value| {
                let number = value.as_integer().expect("a number");
                u32::from_str_radix(number.as_str(), number.radix()).expect("one that fits")
            });
            assert!(wanted.is_none_or(|wanted| (least..=most).contains(&wanted)));
            // One that says nothing, by what else is set, is not shown.
            assert!(get(config).is_none_or(|number| Some(number) == wanted.or(get(&default))));
        }
        Kind::Name { get, .. } => {
            let name = get(config);
            assert!(name.len() <= aegis_config::limits::LED_BYTES && !name.contains('/'), "{name}");
        }
        Kind::Recipients { get, .. } => {
            let list = value.map(|value| value.as_array().expect("a list"));
            let wanted: Vec<&str> = list
                .iter()
                .flat_map(|list| list.iter())
                .map(|one| one.get_ref().as_str().expect("text"))
                .collect();
            assert_eq!(get(config), wanted);
        }
    }
}

/// The template, all of it set, and each way to write a value.
pub fn seeds() -> Vec<Seed> {
    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let set = format!("[export]\nevery_minutes = 0x3c\nrecipients = [\n  '{RECIPIENT}', # one\n]\n");
    let ways =
        "[ring]\n\"window_ms\" = 1_000\nsync = \"\"\"window\"\"\"\nfull = 'stop'\r\ncheckpoint_seconds = +5";
    vec![
        ("template", template().into_bytes()),
        ("default", to_toml(&Config::default()).into_bytes()),
        ("recipients", set.into_bytes()),
        ("ways", ways.into()),
    ]
}
