//! `workload.toml`: what is run, as whom, within which bounds. Strict, and every mistake has its place.

use std::path::Path;

use aegis_bundle::limits::{
    COMMAND_WORDS, COMMENT_BYTES, RESTART_SECONDS, VARIABLES, WATCHDOG_SECONDS, WORD_BYTES, WORKLOAD_CPU,
    WORKLOAD_MEMORY_BYTES, WORKLOAD_PIDS, WRITABLE, WRITABLE_BYTES,
};
use aegis_bundle::{
    Bounds, Content, Restart, Run, When, is_variable, is_word, is_workload_name, is_writable,
};
use toml::de::DeValue;

use crate::files;
use crate::outcome::{Failure, Outcome, Status};
use crate::output;
use crate::policy::Trouble;
use crate::policy::place::{SourceFile, Sources};
use crate::policy::source::{Fields, Read, Reader, Text, Value, suggest};

/// Longest source, bytes.
const BYTES: usize = 64 * 1024;
const KEYS: [&str; 10] =
    ["schema", "name", "comment", "command", "user", "group", "writable", "environment", "limits", "restart"];
const LIMIT_KEYS: [&str; 3] = ["memory-mib", "processes", "cpu-permille"];
const RESTART_KEYS: [&str; 3] = ["when", "delay", "watchdog"];
const MIB: u64 = 1 << 20;

const TEMPLATE: &str = "\
schema = 1
# Of its cgroup, in the policy and in events: letters, digits, '.', '_', '-'.
name = \"agent-7\"
comment = \"\"
# A program by its path in the contents, and arguments. No shell comes with it.
command = [\"/bin/agent\", \"--serve\"]
# Numbers; never 0. It has no other groups, and no capability.
user = 1000
group = 1000
# Directories in the contents that it may write to. What it leaves there is kept; all else is read-only. /tmp is its own, in memory.
writable = [\"/var/lib/agent\"]

# All of it that there is: nothing is inherited.
[environment]
HOME = \"/var/lib/agent\"

# What is over them is refused by the kernel, or ends the workload (memory).
[limits]
memory-mib = 64
processes = 32
# Thousandths of one processor.
cpu-permille = 500

# When: never, on-failure, always. Delay: seconds before the first time, twice as long each time after; after five quick ends it stays down.
[restart]
when = \"on-failure\"
delay = 1
# Seconds without WATCHDOG=1 at $NOTIFY_SOCKET (sd_notify) after which it is ended, as a failure. Left out: nobody looks.
# watchdog = 30
";

pub(super) fn template() -> Outcome {
    output::text(TEMPLATE)?;
    Ok(Status::Good)
}

/// What is written in a source.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) comment: String,
    command: Vec<String>,
    environment: Vec<String>,
    writable: Vec<String>,
    user: u32,
    group: u32,
    bounds: Bounds,
    restart: Restart,
}

impl Source {
    /// Directories that it writes to.
    pub(super) fn writable(&self) -> Vec<&str> {
        self.writable.iter().map(String::as_str).collect()
    }

    /// What is run, with these contents.
    pub(super) fn run(&self, contents: Content) -> Run<'_> {
        // As many as there can be: that was looked at where they stand.
        Run {
            contents,
            command: self.command.iter().map(String::as_bytes).collect(),
            environment: self.environment.iter().map(String::as_bytes).collect(),
            user: self.user,
            group: self.group,
            bounds: self.bounds,
            restart: self.restart,
            writable: self.writable.iter().map(String::as_str).collect(),
        }
    }
}

/// Reads a source. What is wrong is shown on stderr where it stands.
pub(super) fn read(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string();
    let text = String::from_utf8(files::read(path, BYTES)?)
        .map_err(|_| Failure::refused(format!("{name}: not UTF-8 text; a workload's manifest is TOML")))?;
    parse(&text).map_err(|error| {
        Trouble::Source(Sources(vec![SourceFile::new(name.clone(), name, None, text.clone())]), error).tell()
    })
}

fn parse(text: &str) -> Read<Source> {
    let reader = Reader { file: 0 };
    let table = reader.parse(text)?;
    let table = Fields { reader: &reader, table: table.get_ref(), span: 0..0, what: "the workload" };
    table.only(&KEYS)?;
    reader.schema(&table)?;
    let name = reader.string(table.required("name")?)?;
    if !is_workload_name(&name.value) {
        return Err(wrong(
            &name,
            "a name of 1 to 63 letters, digits, '.', '_', '-' is needed, not '.' or '-' first",
        ));
    }
    let comment = match table.optional("comment") {
        Some(value) => {
            let text = reader.string(value)?;
            if text.value.len() > COMMENT_BYTES || text.value.chars().any(char::is_control) {
                return Err(wrong(&text, format!("at most {COMMENT_BYTES} bytes on one line")));
            }
            text.value
        }
        None => String::new(),
    };
    let (environment, limits) = (environment(&table)?, fields(&table, "limits", true)?);
    let restart = match fields(&table, "restart", false)? {
        Some(table) => restart(&table)?,
        None => Restart { when: When::Never, delay: 1, watchdog: 0 },
    };
    Ok(Source {
        name: name.value,
        comment,
        command: command(&table)?,
        environment,
        writable: writable(&table)?,
        user: id(&table, "user")?,
        group: id(&table, "group")?,
        bounds: bounds(&limits.unwrap_or(table))?,
        restart,
    })
}

fn wrong(text: &Text, message: impl Into<String>) -> crate::policy::place::SourceError {
    crate::policy::place::SourceError::new(text.at, message)
}

/// A table in the file's own.
fn fields<'s>(table: &Fields<'s>, key: &'static str, needed: bool) -> Read<Option<Fields<'s>>> {
    let value: &Value<'s> = match table.optional(key) {
        Some(value) => value,
        None if needed => table.required(key)?,
        None => return Ok(None),
    };
    match value.get_ref() {
        DeValue::Table(inner) => {
            Ok(Some(Fields { reader: table.reader, table: inner, span: value.span(), what: key }))
        }
        other => Err(table.reader.wrong_type(value, "a table", other)),
    }
}

fn id(table: &Fields<'_>, key: &'static str) -> Read<u32> {
    table.reader.number(table.required(key)?, 1..=u32::MAX - 1)
}

fn command(table: &Fields<'_>) -> Read<Vec<String>> {
    let words = table.reader.list_of_strings(table.required("command")?)?;
    if !words[0].value.starts_with('/') || words[0].value.len() < 2 {
        return Err(wrong(&words[0], "the program's absolute path in the contents is needed"));
    }
    if let Some(word) = words.iter().find(|word| !is_word(word.value.as_bytes())) {
        return Err(wrong(word, format!("a word has at most {WORD_BYTES} bytes, and no NUL")));
    }
    at_most(&words, COMMAND_WORDS, "words")?;
    Ok(words.into_iter().map(|word| word.value).collect())
}

fn writable(table: &Fields<'_>) -> Read<Vec<String>> {
    let mut paths = match table.optional("writable") {
        Some(value) => table.reader.strings(value)?,
        None => Vec::new(),
    };
    at_most(&paths, WRITABLE, "paths")?;
    if let Some(path) = paths.iter().find(|path| !is_writable(&path.value)) {
        return Err(wrong(
            path,
            format!(
                "an absolute path of at most {WRITABLE_BYTES} bytes is needed, not / and none in /dev, /proc, /tmp"
            ),
        ));
    }
    paths.sort_by(|a, b| a.value.cmp(&b.value));
    for (at, path) in paths.iter().enumerate() {
        let within =
            |other: &&Text| aegis_policy::names::is_within(other.value.as_bytes(), path.value.as_bytes());
        if let Some(other) = paths[..at].iter().find(within) {
            return Err(
                wrong(path, format!("it lies in {}, which is writable", other.value)).also(other.at, "here")
            );
        }
    }
    Ok(paths.into_iter().map(|path| path.value).collect())
}

fn environment(table: &Fields<'_>) -> Read<Vec<String>> {
    let Some(fields) = fields(table, "environment", false)? else { return Ok(Vec::new()) };
    let mut variables = Vec::new();
    for (name, value) in fields.table {
        let value = table.reader.string(value)?;
        let variable = format!("{}={}", name.get_ref(), value.value);
        if !is_variable(variable.as_bytes()) {
            let message = format!(
                "a name of letters, digits and '_' is needed, and with its value at most {WORD_BYTES} bytes"
            );
            return Err(table.reader.error(&name.span(), message));
        }
        variables.push(Text { at: value.at, value: variable });
    }
    at_most(&variables, VARIABLES, "variables")?;
    let mut variables: Vec<String> = variables.into_iter().map(|variable| variable.value).collect();
    variables.sort_unstable();
    Ok(variables)
}

fn at_most(items: &[Text], most: usize, what: &str) -> Read<()> {
    items.get(most).map_or(Ok(()), |item| Err(wrong(item, format!("at most {most} {what}"))))
}

fn bounds(limits: &Fields<'_>) -> Read<Bounds> {
    limits.only(&LIMIT_KEYS)?;
    let (least, most) = (WORKLOAD_MEMORY_BYTES.0 / MIB, WORKLOAD_MEMORY_BYTES.1 / MIB);
    // Both are far below 2^32.
    let memory = limits.reader.number(limits.required("memory-mib")?, least as u32..=most as u32)?;
    Ok(Bounds {
        memory: u64::from(memory) * MIB,
        pids: limits.reader.number(limits.required("processes")?, 1..=WORKLOAD_PIDS)?,
        cpu: limits.reader.number(limits.required("cpu-permille")?, WORKLOAD_CPU.0..=WORKLOAD_CPU.1)?,
    })
}

fn restart(table: &Fields<'_>) -> Read<Restart> {
    table.only(&RESTART_KEYS)?;
    let word = table.reader.string(table.required("when")?)?;
    let when = When::ALL.into_iter().find(|when| when.name() == word.value).ok_or_else(|| {
        let known = When::ALL.map(When::name);
        wrong(&word, format!("unknown word \"{}\"{}", word.value, suggest(&word.value, &known)))
    })?;
    let delay = match table.optional("delay") {
        Some(value) => table.reader.number(value, 1..=RESTART_SECONDS)?,
        None => 1,
    };
    let watchdog = match table.optional("watchdog") {
        Some(value) => table.reader.number(value, 1..=WATCHDOG_SECONDS)?,
        None => 0,
    };
    Ok(Restart { when, delay, watchdog })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_taken_as_it_is() {
        let source = parse(TEMPLATE).expect("good");
        let run = source.run(Content { length: 4096, hash: [0; 32] });
        assert_eq!((source.name.as_str(), run.command.len(), run.user), ("agent-7", 2, 1000));
        assert_eq!(run.bounds, Bounds { memory: 64 << 20, pids: 32, cpu: 500 });
        assert_eq!(run.restart, Restart { when: When::OnFailure, delay: 1, watchdog: 0 });
        assert_eq!(
            (&run.environment[..], &run.writable[..]),
            (&[&b"HOME=/var/lib/agent"[..]][..], &["/var/lib/agent"][..])
        );
    }

    #[test]
    fn a_watchdog_is_there_when_it_is_asked_for() {
        let source = parse(&TEMPLATE.replace("# watchdog = 30", "watchdog = 30")).expect("good");
        assert_eq!(source.restart, Restart { when: When::OnFailure, delay: 1, watchdog: 30 });
    }

    #[test]
    fn every_mistake_is_named_where_it_stands() {
        for (old, new, line, message) in [
            ("name = \"agent-7\"", "name = \"a/b\"", 3, "a name of 1 to 63 letters"),
            ("user = 1000", "user = 0", 8, "a number from 1 to 4294967294 is needed here"),
            ("user = 1000", "usr = 1000", 8, "unknown key \"usr\" (did you mean \"user\"?)"),
            ("\"/bin/agent\"", "\"agent\"", 6, "the program's absolute path"),
            ("command = [", "command = [] #", 6, "the list is empty"),
            ("[\"/var/lib/agent\"]", "[\"/\"]", 11, "an absolute path of at most 64 bytes is needed"),
            ("[\"/var/lib/agent\"]", "[\"/var\", \"/var/lib\"]", 11, "it lies in /var, which is writable"),
            ("HOME =", "\"HO ME\" =", 15, "a name of letters, digits and '_' is needed"),
            ("memory-mib = 64", "memory = 64", 19, "unknown key \"memory\""),
            ("memory-mib = 64", "memory-mib = 0", 19, "a number from 1 to 1048576 is needed here"),
            (
                "\"on-failure\"",
                "\"on-failur\"",
                26,
                "unknown word \"on-failur\" (did you mean \"on-failure\"?)",
            ),
            ("delay = 1", "delay = 9999", 27, "a number from 1 to 3600 is needed here"),
            ("# watchdog = 30", "watchdog = 0", 29, "a number from 1 to 3600 is needed here"),
            ("schema = 1", "schema = 2", 1, "this aegisctl knows schema = 1 only"),
            ("[limits]", "[limit]", 18, "unknown key \"limit\" (did you mean \"limits\"?)"),
        ] {
            let text = TEMPLATE.replacen(old, new, 1);
            assert_ne!(text, TEMPLATE, "{old}");
            let error = parse(&text).err().unwrap_or_else(|| panic!("{new} is refused"));
            let found = 1 + text[..error.at.start as usize].matches('\n').count();
            assert!(error.message.starts_with(message), "{new}: {}", error.message);
            assert_eq!(found, line, "{new}: {}", error.message);
        }
        assert!(parse("schema = 1\n").err().expect("refused").message.contains("missing"));
    }
}
