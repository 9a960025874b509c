//! The words of a command, and what is put into them for one job.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::storage::archive::without_last_suffix;

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `{input}`: the first input.
    Input,
    /// `{output}`: the folder for results.
    Output,
    /// `{job}`: the file with the job as JSON.
    Job,
    /// `{name}`: the name of the first input.
    Name,
    /// `{stem}`: the same without its suffix.
    Stem,
    /// `{field:NAME}`: a field of the job.
    Field(String),
}

/// One word, or all inputs as words of their own (`{inputs}`).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Template {
    Word(Vec<Part>),
    Inputs,
}

/// A command with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command(Vec<Template>);

/// What is put into a command.
pub(super) struct Values<'a> {
    pub(super) inputs: Vec<&'a OsStr>,
    pub(super) output: &'a OsStr,
    pub(super) job: &'a OsStr,
    pub(super) name: &'a str,
    pub(super) field: &'a dyn Fn(&str) -> Option<String>,
}

/// Suffixes of files that interpreters run.
const SCRIPTS: [&str; 12] = [
    "py", "r", "sh", "jl", "pl", "rb", "js", "m", "ijm", "groovy", "cppipe", "jar",
];

/// Placeholders without an argument.
const NAMES: [&str; 6] = ["input", "inputs", "output", "job", "name", "stem"];

impl Command {
    /// Splits a text into words as a shell does, without anything else that a shell does, and finds the placeholders.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words = shlex::split(text).ok_or("a quote is not closed, or a backslash ends it")?;
        if words.first().is_none_or(String::is_empty) {
            return Err("it names no program".to_owned());
        }
        let templates = words.iter().map(|word| template(word));
        templates.collect::<Result<_, _>>().map(Self)
    }

    /// The same with words that name files of this folder as whole paths: the command runs in another folder.
    #[must_use]
    pub(super) fn with_files_of(mut self, folder: &Path) -> Self {
        for template in &mut self.0 {
            if let Template::Word(parts) = template
                && let [Part::Text(text)] = parts.as_mut_slice()
                && Path::new(&*text).is_relative()
                && (text.contains('.') || text.contains('/'))
                && let path = folder.join(&*text)
                && path.is_file()
                && let Some(path) = path.to_str()
            {
                path.clone_into(text);
            }
        }
        self
    }

    /// The text as one word for `/bin/sh -c`.
    pub(super) fn for_shell(text: &str) -> Self {
        let words = ["/bin/sh", "-c", text];
        let word = |text: &str| Template::Word(vec![Part::Text(text.to_owned())]);
        Self(words.into_iter().map(word).collect())
    }

    /// Whether anything is put into it.
    pub(super) fn has_placeholders(&self) -> bool {
        self.0.iter().any(|template| match template {
            Template::Inputs => true,
            Template::Word(parts) => parts.iter().any(|part| !matches!(part, Part::Text(_))),
        })
    }

    /// The program.
    pub(super) fn program(&self) -> &str {
        if let Some(Template::Word(parts)) = self.0.first()
            && let [Part::Text(text)] = parts.as_slice()
        {
            text
        } else {
            ""
        }
    }

    /// A word that is the name of a script, and of no file: an interpreter would fail with each job.
    pub(super) fn missing_script(&self) -> Option<&str> {
        self.0.iter().skip(1).find_map(|template| {
            let Template::Word(parts) = template else {
                return None;
            };
            let [Part::Text(text)] = parts.as_slice() else {
                return None;
            };
            let suffix = Path::new(text).extension()?.to_str()?;
            let is_script = SCRIPTS.contains(&suffix.to_ascii_lowercase().as_str());
            let is_one_word = !text.starts_with('-') && !text.contains(char::is_whitespace);
            (is_script && is_one_word && !Path::new(text).exists()).then_some(text.as_str())
        })
    }

    /// The words for one job. A value never becomes more than a part of its word.
    ///
    /// # Errors
    ///
    /// A field that cannot be an argument.
    pub(super) fn words(&self, values: &Values<'_>) -> Result<Vec<OsString>, String> {
        let mut words = Vec::new();
        for template in &self.0 {
            match template {
                Template::Inputs => {
                    words.extend(values.inputs.iter().map(|&input| input.to_owned()))
                }
                Template::Word(parts) => words.push(values.word(parts)?),
            }
        }
        Ok(words)
    }
}

impl Values<'_> {
    fn word(&self, parts: &[Part]) -> Result<OsString, String> {
        let mut word = OsString::new();
        for part in parts {
            match part {
                Part::Text(text) => word.push(text),
                Part::Input => word.push(self.inputs.first().unwrap_or(&OsStr::new(""))),
                Part::Output => word.push(self.output),
                Part::Job => word.push(self.job),
                Part::Name => word.push(self.name),
                Part::Stem => word.push(without_last_suffix(self.name)),
                Part::Field(name) => {
                    let value = (self.field)(name).unwrap_or_default();
                    if value.contains('\0') {
                        return Err(format!(
                            "the field `{name}` has a NUL, which no argument can have"
                        ));
                    }
                    word.push(value);
                }
            }
        }
        Ok(word)
    }
}

/// Finds the placeholders of a word. Braces around anything else are text: programs have a use for them.
fn template(word: &str) -> Result<Template, String> {
    if word == "{inputs}" {
        return Ok(Template::Inputs);
    }
    let (mut parts, mut text, mut rest) = (Vec::new(), String::new(), word);
    while let Some(open) = rest.find('{') {
        let (before, at) = rest.split_at(open);
        text.push_str(before);
        let inside = at[1..].split_once('}').map(|(inside, _)| inside);
        match inside.map(part).transpose()?.flatten() {
            Some(part) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(part);
                rest = &at[inside.map_or(1, |inside| inside.len() + 2)..];
            }
            None => {
                text.push('{');
                rest = &at[1..];
            }
        }
    }
    text.push_str(rest);
    if !text.is_empty() || parts.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(Template::Word(parts))
}

fn part(inside: &str) -> Result<Option<Part>, String> {
    if let Some(name) = inside.strip_prefix("field:") {
        return Ok(Some(Part::Field(name.to_owned())));
    }
    Ok(Some(match inside {
        "input" => Part::Input,
        "output" => Part::Output,
        "job" => Part::Job,
        "name" => Part::Name,
        "stem" => Part::Stem,
        "inputs" => return Err("{inputs} has to be a word of its own".to_owned()),
        _ => {
            let meant = NAMES.iter().find(|name| is_like(inside, name));
            return match meant {
                Some(name) => Err(format!(
                    "there is no {{{inside}}}: {{{name}}} is meant, perhaps"
                )),
                None => Ok(None),
            };
        }
    }))
}

/// Whether a word is another one with a letter more, less, wrong, or in another place.
fn is_like(word: &str, name: &str) -> bool {
    let (word, name): (Vec<_>, Vec<_>) = (word.chars().collect(), name.chars().collect());
    let prefix = word.iter().zip(&name).take_while(|(a, b)| a == b).count();
    let (word, name) = (&word[prefix..], &name[prefix..]);
    let rest = |list: &[char], skipped: usize| list.get(skipped..).map(<[char]>::to_vec);
    let is_swapped = word.len() >= 2
        && name.len() >= 2
        && (word[0], word[1]) == (name[1], name[0])
        && word[2..] == name[2..];
    prefix > 0
        && (is_swapped
            || rest(word, 1) == rest(name, 1)
            || rest(word, 1).as_deref() == Some(name)
            || rest(name, 1).as_deref() == Some(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let field = |name: &str| (name == "scale").then(|| "1; rm -rf /".to_owned());
        let values = Values {
            inputs: vec![OsStr::new("/s/input/a b.tif"), OsStr::new("/s/input/c.tif")],
            output: OsStr::new("/s/output"),
            job: OsStr::new("/s/job.json"),
            name: "a b.tif",
            field: &field,
        };
        let command = Command::parse(text).expect(text);
        let words = command.words(&values).expect(text);
        words
            .into_iter()
            .map(|word| word.into_string().expect("text"))
            .collect()
    }

    #[test]
    fn words_are_those_of_a_shell_and_values_stay_in_theirs() {
        assert_eq!(
            words("convert {input} -blur 0x2 {output}/{stem}.tif"),
            [
                "convert",
                "/s/input/a b.tif",
                "-blur",
                "0x2",
                "/s/output/a b.tif"
            ]
        );
        assert_eq!(words("a 'b c' \"d e\" f\\ g"), ["a", "b c", "d e", "f g"]);
        assert_eq!(
            words("cat {inputs}"),
            ["cat", "/s/input/a b.tif", "/s/input/c.tif"]
        );
        assert_eq!(
            words("x --s={field:scale} {field:none}"),
            ["x", "--s=1; rm -rf /", ""]
        );
        assert_eq!(
            words("a $HOME *.tif | b"),
            ["a", "$HOME", "*.tif", "|", "b"]
        );
    }

    #[test]
    fn braces_of_programs_are_theirs() {
        assert_eq!(
            words("awk '{print $1}' {input}"),
            ["awk", "{print $1}", "/s/input/a b.tif"]
        );
        assert_eq!(words("a {} {a,b} {x} {"), ["a", "{}", "{a,b}", "{x}", "{"]);
        assert_eq!(words("a {{name}}"), ["a", "{a b.tif}"]);
    }

    #[test]
    fn mistakes_are_told() {
        let error = |text: &str| Command::parse(text).expect_err(text);
        assert!(error("").contains("no program") && error("''").contains("no program"));
        assert!(error("a 'b").contains("quote"));
        assert!(error("a {ouput}").contains("{output}") && error("a {imput}").contains("{input}"));
        assert!(error("a x{inputs}").contains("word of its own"));
        assert!(!Command::parse("a b").expect("words").has_placeholders());
    }

    #[test]
    fn files_of_the_folder_are_found_from_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.py"), "").expect("a file");
        std::fs::create_dir(folder.path().join("b.d")).expect("a folder");
        let command = Command::parse("python3 a.py b.d c.py {name}").expect("words");
        let found = command.with_files_of(folder.path());
        let script = folder.path().join("a.py");
        let expected = format!("python3 {} b.d c.py {{name}}", script.display());
        assert_eq!(found, Command::parse(&expected).expect("words"));
    }
}
