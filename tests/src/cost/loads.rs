//! The loads: scripts, and the real programs that they run, as this workstation's packages have them. The guest has no dynamic
//! loader: each program is run by the one that lies beside it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, root};

/// Python's modules that no load needs, and that are large.
const LEFT_OUT: [&str; 6] = ["test", "idlelib", "lib2to3", "pydoc_data", "distutils", "ensurepip"];

/// Many processes: busybox's, one for each word.
const SHELL: &str = "
i=0
while [ $i -lt 25 ]; do
    echo \"line $i\" | grep -c line >>counts
    wc -c <plain >>counts
    i=$((i + 1))
done
sort counts | uniq -c | tail -n 1 >/dev/null
rm counts
";

/// A source tree out of its archive, and into one again.
const TAR: &str = "
mkdir tree.out
tar -xf /workload/tree.tar -C tree.out
tar -cf tree.again -C tree.out .
rm -r tree.out tree.again
";

/// One transaction after the other, each with its journal's file.
const SQLITE: &str = "
sqlite3 -bail bench.db </workload/load.sql >/dev/null
rm bench.db
";

/// Modules found and read, a tree of files read and reckoned with, a result written.
const PYTHON: &str = "
python3 /workload/load.py
";

const PYTHON_PROGRAM: &str = r#"
import csv, hashlib, io, json, os, re, sys
words, sizes = {}, {}
top = os.path.dirname(json.__file__) + "/.."
for folder in ("json", "email", "logging", "importlib", "collections", "encodings"):
    for name in sorted(os.listdir(os.path.join(top, folder))):
        path = os.path.join(top, folder, name)
        if not name.endswith(".py"):
            continue
        with open(path, "rb") as file:
            content = file.read()
        sizes[path] = hashlib.sha256(content).hexdigest()
        for word in re.findall(rb"[a-z]{6,}", content[:2000]):
            words[word.decode()] = words.get(word.decode(), 0) + 1
table = io.StringIO()
csv.writer(table).writerows(sorted(words.items()))
with open("words.json", "w") as file:
    json.dump({"words": words, "sizes": sizes, "bytes": len(table.getvalue())}, file)
with open("words.json") as file:
    assert json.load(file)["words"] == words
os.unlink("words.json")
"#;

/// Puts all of it into the workload's folder.
///
/// # Panics
/// When something is missing (`make deps`).
pub(super) fn make(folder: &Path) {
    let scripts = folder.join("loads");
    fs::create_dir_all(&scripts).expect("a folder for the scripts");
    let programs = "\
        cd /scratch/cost\n\
        own=/workload/programs\n\
        start() { name=$1; shift; $own/ld.so --library-path $own/lib $own/bin/$name \"$@\"; }\n\
        tar() { start tar \"$@\"; }\n\
        sqlite3() { start sqlite3 \"$@\"; }\n\
        python3() { PYTHONHOME=$own PYTHONDONTWRITEBYTECODE=1 start python3 \"$@\"; }\n";
    for (name, script) in [("shell", SHELL), ("tar", TAR), ("sqlite", SQLITE), ("python", PYTHON)] {
        let path = scripts.join(name);
        fs::write(&path, format!("{programs}{script}")).expect("a script is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is executable");
    }
    fs::write(folder.join("load.py"), PYTHON_PROGRAM).expect("Python's program is written");
    fs::write(folder.join("load.sql"), transactions()).expect("SQLite's statements are written");
    archive(&folder.join("tree.tar"));
    copy_programs(&folder.join("programs"));
}

fn transactions() -> String {
    let mut text =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER);\nCREATE INDEX i ON t (b);\n".to_owned();
    for number in 0..60 {
        text.push_str("BEGIN;\n");
        for row in 0..5 {
            let id = number * 5 + row;
            let _ = writeln!(text, "INSERT INTO t VALUES ({id}, 'row {id}', {});", id * 7919 % 1000);
        }
        let _ = writeln!(text, "UPDATE t SET b = b + 1 WHERE id = {number};\nCOMMIT;");
    }
    text + "SELECT count(*), sum(b) FROM t;\n"
}

/// Part of this project's own tree, as it was committed.
fn archive(path: &Path) {
    let mut command = Command::new("git");
    command.arg("-C").arg(root()).args(["archive", "--format", "tar", "--output"]).arg(path);
    command.args(["HEAD", "firmware/event", "firmware/policy", "firmware/ring", "probes"]);
    Bench::good(command);
}

fn copy_programs(to: &Path) {
    let [bin, lib] = ["bin", "lib"].map(|name| to.join(name));
    for folder in [&bin, &lib] {
        fs::create_dir_all(folder).expect("a folder for the programs");
    }
    let mut needed = BTreeSet::new();
    for name in ["tar", "sqlite3", "python3"] {
        // Not the caller's own Python: Debian's, whose modules are where they are looked for.
        let from = fs::canonicalize(Path::new("/usr/bin").join(name))
            .unwrap_or_else(|error| panic!("/usr/bin/{name}: {error} (run `make deps`)"));
        fs::copy(&from, bin.join(name)).expect("the program is copied");
        needed.extend(libraries(&from));
        if name == "python3" {
            let version = from.file_name().expect("it has a name").to_owned();
            let modules = Path::new("/usr/lib").join(&version);
            copy_folder(&modules, &lib.join(&version), &mut needed);
        }
    }
    for library in needed {
        let name = library.file_name().expect("a library has a name");
        let to =
            if name.to_string_lossy().starts_with("ld-linux") { to.join("ld.so") } else { lib.join(name) };
        fs::copy(&library, to).expect("a library is copied");
    }
}

/// The modules; what their shared objects need goes to `needed`.
fn copy_folder(from: &Path, to: &Path, needed: &mut BTreeSet<PathBuf>) {
    fs::create_dir_all(to).expect("a folder for modules");
    for entry in fs::read_dir(from).expect("the modules are there") {
        let path = entry.expect("the modules are there").path();
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        if LEFT_OUT.contains(&name.as_str()) || name.starts_with("config-") {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name), needed);
        } else if path.is_file() {
            fs::copy(&path, to.join(&name)).expect("a module is copied");
            if path.extension().is_some_and(|extension| extension == "so") {
                needed.extend(libraries(&path));
            }
        }
    }
}

/// What the dynamic loader would load with it, and the loader itself.
fn libraries(of: &Path) -> Vec<PathBuf> {
    let mut command = Command::new("ldd");
    command.arg(of);
    let said = String::from_utf8(Bench::good(command)).expect("ldd says text");
    let paths = said.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}
