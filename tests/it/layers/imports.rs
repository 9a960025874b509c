//! Reads which file of a crate names which other one: `use` statements and paths in the code, followed through re-exports to
//! the file that defines what is named. Tests inside the sources do not count. What only a compiler can see (methods, traits
//! at work, what macros make) is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// Names from the root of the crate, or of a crate outside, down.
type Names = Vec<String>;

/// The source files of one crate, and who names whom.
#[derive(Debug)]
pub(super) struct Sources {
    files: Vec<File>,
    /// Which file a module is.
    modules: BTreeMap<Names, usize>,
}

/// A source file, which is a module of its crate.
#[derive(Debug, Default)]
struct File {
    /// Below the root of the sources, such as `queue/mod.rs`.
    path: String,
    module: Names,
    /// What `use` brings in, by the name that it has here; from the root of the crate down, or from a crate outside.
    imports: BTreeMap<String, Names>,
    /// Modules of which everything is brought in.
    globs: Vec<Names>,
    /// Items at the top of the file.
    items: BTreeSet<String>,
    /// Every path that is named, as it stands.
    paths: Vec<Mention>,
    /// Modules that are only there for tests.
    test_modules: BTreeSet<String>,
}

/// A path, and the module of the file in which it stands.
#[derive(Debug)]
struct Mention {
    inside: Names,
    path: Names,
}

impl Sources {
    /// Everything below a folder such as `src`; `name` is the crate's as its own binary writes it.
    pub(super) fn read(root: &Path, name: &str) -> Self {
        let mut files = Vec::new();
        for path in rust_files(root) {
            let text = fs::read_to_string(&path).expect("sources are text");
            let below = path.strip_prefix(root).expect("it lies below the root");
            files.push(read_file(&below.to_string_lossy(), &text, name));
        }
        drop_tests(&mut files);
        let modules = files.iter().enumerate();
        let modules = modules
            .map(|(index, file)| (file.module.clone(), index))
            .collect();
        let mut sources = Self { files, modules };
        sources.make_imports_absolute();
        sources
    }

    /// The path of each file below the root, in order.
    pub(super) fn paths(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.path.as_str()).collect()
    }

    /// Pairs of files of which the first one names something that the second one defines.
    pub(super) fn arrows(&self) -> BTreeSet<(&str, &str)> {
        let mut arrows = BTreeSet::new();
        for (index, file) in self.files.iter().enumerate() {
            for mention in &file.paths {
                let path = self.absolute(index, mention);
                let Some(home) = path.and_then(|path| self.home(&path, 0)) else {
                    continue;
                };
                if home != index {
                    arrows.insert((file.path.as_str(), self.files[home].path.as_str()));
                }
            }
        }
        arrows
    }

    /// Files, and the rooms that they name as such, whoever defines what is named in them.
    pub(super) fn named_rooms(&self) -> BTreeSet<(&str, String)> {
        let mut named = BTreeSet::new();
        for (index, file) in self.files.iter().enumerate() {
            for mention in &file.paths {
                let path = self.absolute(index, mention);
                let room = path.and_then(|path| path.into_iter().next());
                named.extend(room.map(|room| (file.path.as_str(), room)));
            }
        }
        named
    }

    /// Imports as they stand become paths from the root, or are dropped if they lead outside.
    fn make_imports_absolute(&mut self) {
        for index in 0..self.files.len() {
            let imports = std::mem::take(&mut self.files[index].imports);
            let globs = std::mem::take(&mut self.files[index].globs);
            let inside = self.files[index].module.clone();
            let mut resolved = BTreeMap::new();
            for (name, path) in imports {
                let inside = inside.clone();
                if let Some(path) = self.absolute(index, &Mention { inside, path }) {
                    resolved.insert(name, path);
                }
            }
            let mut modules = Vec::new();
            for path in globs {
                let inside = inside.clone();
                modules.extend(self.absolute(index, &Mention { inside, path }));
            }
            self.files[index].imports = resolved;
            self.files[index].globs = modules;
        }
    }

    /// The path from the root of the crate down; `None` if it leads to another crate.
    fn absolute(&self, file: usize, mention: &Mention) -> Option<Names> {
        let mut rest = mention.path.as_slice();
        let first = rest.first()?;
        let mut path = match first.as_str() {
            "crate" => Names::new(),
            "self" | "super" => mention.inside.clone(),
            name => {
                let home = &self.files[file];
                let mut child = home.module.clone();
                child.push(name.to_owned());
                if self.modules.contains_key(&child) {
                    home.module.clone()
                } else {
                    let mut start = home.imports.get(name)?.clone();
                    start.extend_from_slice(&rest[1..]);
                    return Some(start);
                }
            }
        };
        while let Some(name) = rest.first() {
            match name.as_str() {
                "super" => drop(path.pop()),
                "crate" | "self" => {}
                _ => break,
            }
            rest = &rest[1..];
        }
        path.extend_from_slice(rest);
        Some(path)
    }

    /// The file that defines what a path from the root names; `None` for a module as such.
    fn home(&self, path: &[String], depth: usize) -> Option<usize> {
        let known = |length: &usize| self.modules.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(known)?;
        let index = self.modules[&path[..length]];
        let (name, rest) = path[length..].split_first()?;
        let file = &self.files[index];
        if depth > 8 || name == "*" || file.items.contains(name) {
            return Some(index);
        }
        if let Some(origin) = file.imports.get(name) {
            let mut path = origin.clone();
            path.extend_from_slice(rest);
            return self.home(&path, depth + 1);
        }
        let from_glob = file.globs.iter().find_map(|glob| {
            let inside = *self.modules.get(glob)?;
            let mut path = glob.clone();
            path.push(name.clone());
            let home = self.home(&path, depth + 1)?;
            (home != inside || self.files[home].items.contains(name)).then_some(home)
        });
        Some(from_glob.unwrap_or(index))
    }
}

pub(super) fn rust_files(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the source folder can be read") {
            let path = entry.expect("an entry of the source folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Files that a `mod` for tests declares.
fn drop_tests(files: &mut Vec<File>) {
    let mut tests = BTreeSet::new();
    for file in files.iter() {
        for name in &file.test_modules {
            tests.insert([file.module.as_slice(), std::slice::from_ref(name)].concat());
        }
    }
    files.retain(|file| !tests.iter().any(|test| file.module.starts_with(test)));
}

fn read_file(path: &str, text: &str, own_name: &str) -> File {
    let tokens: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut file = File {
        path: path.to_owned(),
        module: module_of(path),
        ..File::default()
    };
    let inside = file.module.clone();
    Reader {
        file: &mut file,
        own_name,
    }
    .read(tokens, &inside, true);
    file
}

/// `queue/mod.rs` is `queue`, `queue/lease.rs` is `queue::lease`; the files at the top of a crate are its root.
fn module_of(path: &str) -> Names {
    let path = path.trim_end_matches(".rs");
    let mut names: Names = path.split('/').map(str::to_owned).collect();
    if ["mod", "lib", "main"].contains(&names.last().map_or("", String::as_str)) {
        names.pop();
    }
    if path == "main" {
        names.push("main".to_owned()); // a crate of its own, which names the library by its name
    }
    names
}

/// Goes through the tokens of one file.
struct Reader<'f> {
    file: &'f mut File,
    own_name: &'f str,
}

impl Reader<'_> {
    /// `at_top` outside functions and inner modules, where items have names that other files may use.
    fn read(&mut self, tokens: TokenStream, inside: &[String], at_top: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = self.step(&tokens, at, inside, at_top);
        }
    }

    /// Reads what begins at a token, and gives the place behind it.
    fn step(&mut self, tokens: &[TokenTree], at: usize, inside: &[String], at_top: bool) -> usize {
        if is_test_attribute(tokens, at) {
            return self.skip_item(tokens, at + 2);
        }
        if let TokenTree::Group(group) = &tokens[at] {
            self.read(group.stream(), inside, false);
            return at + 1;
        }
        let Some(word) = word(tokens, at) else {
            return at + 1;
        };
        if word == "use" && self.read_use(tokens, at + 1, inside) {
            return end_of_statement(tokens, at);
        }
        if let Some(body) = inner_module(tokens, at) {
            let name = [inside, &[tokens[at + 1].to_string()]].concat();
            self.read(body.stream(), &name, false);
            return at + 3;
        }
        if at_top && let Some(name) = defined(tokens, at) {
            self.file.items.insert(name);
        }
        let path = path_at(tokens, at, self.own_name);
        let length = path.len();
        if length > 1 && !follows_colons(tokens, at) {
            let inside = inside.to_vec();
            self.file.paths.push(Mention { inside, path });
        }
        // Every name of a path is a token, and so are the two colons between two names.
        at + 1 + 3 * length.saturating_sub(1)
    }

    /// The item behind a test attribute and further attributes; a module that it declares is there for tests only.
    fn skip_item(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return at + 1,
                TokenTree::Punct(punct) if punct.as_char() == ';' => return at + 1,
                TokenTree::Ident(ident) if ident == "mod" => {
                    if let Some(name) = word(tokens, at + 1) {
                        self.file.test_modules.insert(name);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// A `use` tree; false for the `use<…>` of a type.
    fn read_use(&mut self, tokens: &[TokenTree], at: usize, inside: &[String]) -> bool {
        let end = end_of_statement(tokens, at);
        let tree: Vec<TokenTree> = tokens[at..end].to_vec();
        if punct(&tree, 0) == Some('<') {
            return false;
        }
        for (path, name) in leaves(&tree, &[], self.own_name) {
            let mut named = path.clone();
            if name == "*" {
                named.push(name);
                self.file.globs.push(path);
            } else {
                self.file.imports.insert(name, path);
            }
            self.file.paths.push(Mention {
                inside: inside.to_vec(),
                path: named,
            });
        }
        true
    }
}

/// The paths of a `use` tree, each with the name that it has from then on.
fn leaves(tokens: &[TokenTree], before: &[String], own_name: &str) -> Vec<(Names, String)> {
    let mut found = Vec::new();
    for branch in tokens.split(|token| is_punct(token, ',')) {
        let mut path = before.to_vec();
        let mut name = None;
        let mut at = 0;
        while at < branch.len() {
            match &branch[at] {
                TokenTree::Ident(ident) if ident == "as" => {
                    name = word(branch, at + 1);
                    break;
                }
                TokenTree::Ident(ident) if path.is_empty() && ident == own_name => {
                    path.push("crate".to_owned());
                }
                // `self` within braces is what stands before them.
                TokenTree::Ident(ident) if ident == "self" && !path.is_empty() => {}
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => name = Some("*".to_owned()),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    found.extend(leaves(&inner, &path, own_name));
                    path.clear();
                }
                _ => {}
            }
            at += 1;
        }
        if let Some(last) = path.last() {
            let name = name.unwrap_or_else(|| last.clone());
            found.push((path, name));
        }
    }
    found
}

/// The names of a path with two of them or more that begins here.
fn path_at(tokens: &[TokenTree], at: usize, own_name: &str) -> Names {
    let mut names = Names::new();
    let mut next = at;
    while let Some(name) = word(tokens, next) {
        names.push(if names.is_empty() && name == own_name {
            "crate".to_owned()
        } else {
            name
        });
        if !are_colons(tokens, next + 1) {
            break;
        }
        next += 3;
    }
    names
}

/// `cfg(test)` in an attribute; what tests and a feature have in common counts as code.
fn is_test_attribute(tokens: &[TokenTree], at: usize) -> bool {
    let Some(TokenTree::Group(group)) = tokens.get(at + 1) else {
        return false;
    };
    let text: String = group.stream().to_string();
    punct(tokens, at) == Some('#') && text.replace(' ', "") == "cfg(test)"
}

fn inner_module(tokens: &[TokenTree], at: usize) -> Option<&Group> {
    match tokens.get(at..at + 3)? {
        [
            TokenTree::Ident(keyword),
            TokenTree::Ident(_),
            TokenTree::Group(body),
        ] if keyword == "mod" && body.delimiter() == Delimiter::Brace => Some(body),
        _ => None,
    }
}

/// The name of an item that this keyword defines.
fn defined(tokens: &[TokenTree], at: usize) -> Option<String> {
    let keywords = [
        "struct", "enum", "union", "trait", "fn", "type", "const", "static",
    ];
    let keyword = word(tokens, at)?;
    if keyword == "macro_rules" {
        return word(tokens, at + 2);
    }
    keywords
        .contains(&keyword.as_str())
        .then(|| word(tokens, at + 1))?
}

fn end_of_statement(tokens: &[TokenTree], at: usize) -> usize {
    let rest = &tokens[at..];
    let length = rest.iter().position(|token| is_punct(token, ';'));
    length.map_or(tokens.len(), |length| at + length)
}

fn word(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at)? {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        _ => None,
    }
}

fn punct(tokens: &[TokenTree], at: usize) -> Option<char> {
    match tokens.get(at)? {
        TokenTree::Punct(punct) => Some(punct.as_char()),
        _ => None,
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn are_colons(tokens: &[TokenTree], at: usize) -> bool {
    let Some(TokenTree::Punct(first)) = tokens.get(at) else {
        return false;
    };
    first.as_char() == ':'
        && first.spacing() == Spacing::Joint
        && punct(tokens, at + 1) == Some(':')
}

fn follows_colons(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && are_colons(tokens, at - 2)
}

#[test]
fn names_are_followed_to_the_file_that_defines_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [
        (
            "lib.rs",
            "mod ground; mod face; mod top; pub use face::Inner;",
        ),
        (
            "ground.rs",
            "pub struct Stone; pub fn lay() {} #[cfg(test)] mod tests { use crate::top; }",
        ),
        (
            "face/mod.rs",
            "mod inner; mod twin; pub use inner::*; pub const AGE: u8 = 1;",
        ),
        (
            "face/inner.rs",
            "use std::fmt; use crate::ground::{self, Stone as Rock}; pub struct Inner; fn f() { ground::lay() }",
        ),
        (
            "face/twin.rs",
            "pub fn make() -> super::Inner { mod a { pub use super::super::AGE; } super::Inner }",
        ),
        (
            "top.rs",
            "use crate::{face, Inner}; /* crate::ground::Stone */ fn g() -> u8 { vec![face::AGE][0] } // crate::face",
        ),
    ];
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let sources = Sources::read(folder.path(), "own");
    let expected = [
        ("face/inner.rs", "ground.rs"),
        ("face/mod.rs", "face/inner.rs"),
        ("face/twin.rs", "face/inner.rs"),
        ("face/twin.rs", "face/mod.rs"),
        ("lib.rs", "face/inner.rs"),
        ("top.rs", "face/inner.rs"),
        ("top.rs", "face/mod.rs"),
    ];
    assert_eq!(sources.arrows(), BTreeSet::from(expected));
}
