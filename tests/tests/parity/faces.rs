//! What each language calls things, read from the files that say so: the words of a class, and no others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub type Words = BTreeSet<String>;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
}

fn all_of(folder: &str, ending: &str) -> String {
    let mut found = Vec::new();
    files(&root().join(folder), ending, &mut found);
    found.sort();
    found.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The name before the first character that cannot be in one.
fn name(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Public functions of `impl X` and public fields of `struct X`, wherever in core.
pub fn rust(class: &str) -> Words {
    let mut words = Words::new();
    let heads = [format!("impl {class} {{"), format!("pub struct {class} {{"), format!("impl {class}<")];
    let mut inside = false;
    for line in all_of("core/src", "rs").lines() {
        inside = heads.iter().any(|head| line.starts_with(head)) || inside && line != "}";
        let Some(item) = line.strip_prefix("    pub ").filter(|_| inside) else { continue };
        let item = item.strip_prefix("const ").unwrap_or(item);
        words.insert(name(item.strip_prefix("fn ").unwrap_or(item)).to_owned());
    }
    // How a binding waits is not part of its interface.
    words.retain(|word| word != "with_interrupt" && !word.starts_with("try_"));
    words
}

/// Methods and properties of a class in a stub, those of its own.
pub fn python(stub: &str, class: &str) -> Words {
    let text = read(stub);
    let head = [format!("class {class}:"), format!("class {class}(")];
    let body = text.lines().skip_while(|line| !head.iter().any(|head| line.starts_with(head))).skip(1);
    let body = body.take_while(|line| line.is_empty() || line.starts_with([' ', '#', ')']));
    let named = |line: &str| {
        let field = line.strip_prefix("    ").filter(|line| !line.starts_with(' '))?;
        let is_field = field.split_once(": ").is_some_and(|(before, _)| name(before) == before);
        let method = field.strip_prefix("def ").or(is_field.then_some(field))?;
        Some(name(method).to_owned()).filter(|word| !word.starts_with('_'))
    };
    body.filter_map(named).collect()
}

/// Public methods of a Java type; those that every object has are none of ours.
pub fn java(class: &str) -> Words {
    let text = read(&format!("java/src/main/java/io/plumline/{class}.java"));
    java_within(&text, class, 1)
}

/// Public methods of the type of this name; its members stand this deep.
pub fn java_within(text: &str, class: &str, depth: usize) -> Words {
    let is_head = |line: &str| {
        let words: Vec<&str> = line.split([' ', '<', '{']).collect();
        let named = |kind: &str| words.windows(2).any(|pair| pair == [kind, class]);
        named("class") || named("interface") || named("enum")
    };
    let is_interface =
        text.lines().find(|line| is_head(line)).is_some_and(|line| line.contains("interface "));
    let margin = "    ".repeat(depth);
    let end = format!("{}}}", "    ".repeat(depth - 1));
    let body = text.lines().skip_while(|line| !is_head(line)).skip(1).take_while(|line| *line != end);
    let mut words = Words::new();
    for line in body {
        let Some(line) =
            line.strip_prefix(&margin).filter(|line| line.starts_with(|c: char| c.is_alphabetic()))
        else {
            continue;
        };
        let is_public = line.starts_with("public ") || is_interface && !line.starts_with("private ");
        let Some((before, _)) = line.split_once('(').filter(|_| is_public) else { continue };
        if before.contains('=') || before.split(' ').count() < 2 {
            continue;
        }
        words.insert(before.rsplit(' ').next().unwrap_or_default().to_owned());
    }
    let common = ["equals", "hashCode", "toString", "iterator"];
    words.retain(|word| word != class && !common.contains(&word.as_str()));
    words
}

/// Functions `plumline_<class>_…` of the header.
pub fn c(class: &str) -> Words {
    let prefix = format!("plumline_{class}_");
    let mut words = Words::new();
    for line in read("include/plumline.h").lines().filter(|line| !line.trim_start().starts_with(['*', '/'])) {
        for part in line.split([' ', '*']) {
            if let Some(word) = part.strip_prefix(&prefix)
                && word.contains('(')
            {
                words.insert(name(word).to_owned());
            }
        }
    }
    let memory = ["new", "free", "clone", "equals"];
    words.retain(|word| !memory.contains(&word.as_str()));
    words
}

/// Members of a C++ class: whatever is named in its body.
pub fn cpp(class: &str) -> Words {
    let text = all_of("include/plumline", "hpp");
    let heads = ["class", "struct"].map(|kind| format!("{kind} {class} "));
    let body = text.lines().skip_while(|line| !heads.iter().any(|head| line.starts_with(head))).skip(1);
    let body: String = body.take_while(|line| *line != "};").flat_map(|line| [line, "\n"]).collect();
    body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect()
}

/// The values of a `#define NAME value`.
pub fn defined(name: &str) -> Option<String> {
    let text = read("include/plumline.h");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")))?;
    Some(line.trim().to_owned())
}

/// `watch_all` → `watchAll`.
pub fn camel(word: &str) -> String {
    let mut parts = word.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |camel, part| camel + &part[..1].to_uppercase() + &part[1..])
}

/// `InvalidArgument` → `INVALID_ARGUMENT`.
pub fn shouted(word: &str) -> String {
    let mut shouted = String::new();
    for (index, letter) in word.char_indices() {
        if letter.is_uppercase() && index > 0 {
            shouted.push('_');
        }
        shouted.extend(letter.to_uppercase());
    }
    shouted
}
