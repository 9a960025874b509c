//! A package: a folder or a zip with a description, weights and test tensors.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use bioimage::{Limits, npy};
use ndarray::ArrayD;
use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::description::Description;
use crate::file_ref::FileRef;
use crate::problem::{DescriptionError, shown};
use crate::yaml;

/// Names of descriptions, in the order in which they are looked for. Any of them may have something and a dot before it.
const DESCRIPTIONS: [&str; 3] = ["rdf.yaml", "bioimageio.yaml", "model.yaml"];

/// Bytes of a tensor's file.
const MAX_TENSOR_BYTES: u64 = 2 << 30;

/// A package: a folder or a zip with a description, weights and test tensors.
#[derive(Debug)]
pub struct Package {
    files: Files,
}

#[derive(Debug)]
enum Files {
    /// The folder, without links in its path.
    Folder(PathBuf),
    Zip(Box<ZipArchive<File>>),
}

/// Why something of a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It is neither a folder nor a zip that can be read.
    #[error("{path} is no package: {reason}")]
    NotAPackage {
        /// Where it was looked for.
        path: String,
        /// What is wrong with it.
        reason: String,
    },

    /// There is no description in it.
    #[error("the package has no description: expected a file rdf.yaml")]
    NoDescription,

    /// Its description is wrong, or asks for something that is not done here.
    #[error(transparent)]
    Description(#[from] DescriptionError),

    /// A name that does not stay inside the package.
    #[error(
        "`{0}` is not inside the package: take a complete package, as `bioimageio package` makes it"
    )]
    Outside(String),

    /// A file that is not there.
    #[error("the package has no file `{0}`")]
    Missing(String),

    /// A file that is too large.
    #[error("`{name}` of the package has more than {limit_bytes} bytes")]
    TooLarge {
        /// Its name.
        name: String,
        /// Bytes that it may have.
        limit_bytes: u64,
    },

    /// A file that is not what its description says.
    #[error("`{name}` of the package has the SHA-256 {found}, and its description says {expected}")]
    WrongSum {
        /// Its name.
        name: String,
        /// The sum of its bytes.
        found: String,
        /// The sum that it should have.
        expected: String,
    },

    /// A file that cannot be read.
    #[error("`{name}` of the package cannot be read: {reason}")]
    Unreadable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Package {
    /// Opens a folder or a zip.
    ///
    /// # Errors
    ///
    /// [`PackageError::NotAPackage`].
    pub fn open(path: &Path) -> Result<Self, PackageError> {
        let wrong = |reason: String| PackageError::NotAPackage {
            path: shown(&path.to_string_lossy()),
            reason,
        };
        let path = path
            .canonicalize()
            .map_err(|error| wrong(error.to_string()))?;
        if path.is_dir() {
            return Ok(Self {
                files: Files::Folder(path),
            });
        }
        let file = File::open(&path).map_err(|error| wrong(error.to_string()))?;
        let archive = ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            files: Files::Zip(Box::new(archive)),
        })
    }

    /// Its description: `rdf.yaml`, else `bioimageio.yaml` or `model.yaml`.
    ///
    /// # Errors
    ///
    /// [`PackageError::NoDescription`], [`PackageError::Description`], or that of [`Package::read`].
    pub fn description(&mut self) -> Result<Description, PackageError> {
        let names = self.names()?;
        let is = |name: &str, known: &str| {
            let rest = name.strip_suffix(known);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let found = DESCRIPTIONS
            .iter()
            .find_map(|known| names.iter().find(|name| is(name, known)));
        let name = found.ok_or(PackageError::NoDescription)?;
        let bytes = self.read(name, yaml::MAX_BYTES as u64)?;
        Ok(Description::parse(&bytes)?)
    }

    /// Names of files at the top, in order.
    fn names(&self) -> Result<Vec<String>, PackageError> {
        let mut names = match &self.files {
            Files::Folder(folder) => {
                let entries = std::fs::read_dir(folder).map_err(|error| unreadable(".", &error))?;
                let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                names.collect::<Vec<_>>()
            }
            Files::Zip(archive) => {
                let names = archive.file_names().filter_map(Result::ok);
                names.map(std::borrow::Cow::into_owned).collect()
            }
        };
        names.sort_unstable();
        Ok(names)
    }

    /// The bytes of a file, not more than the limit.
    ///
    /// # Errors
    ///
    /// [`PackageError::Outside`] for a name that leads out of the package, also through links, and for addresses;
    /// [`PackageError::Missing`], [`PackageError::TooLarge`], [`PackageError::Unreadable`].
    pub fn read(&mut self, name: &str, limit_bytes: u64) -> Result<Vec<u8>, PackageError> {
        self.with_file(name, |file| {
            let mut bytes = Vec::new();
            file.take(limit_bytes.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(|error| unreadable(name, &error))?;
            if bytes.len() as u64 > limit_bytes {
                return Err(PackageError::TooLarge {
                    name: shown(name),
                    limit_bytes,
                });
            }
            Ok(bytes)
        })
    }

    /// Holds a file against the sum in its description, if there is one. It is not held in memory.
    ///
    /// # Errors
    ///
    /// [`PackageError::WrongSum`], or those of [`Package::read`].
    pub fn verify(&mut self, file: &FileRef) -> Result<(), PackageError> {
        let name = file.source.as_str();
        let found = self.with_file(name, |file| {
            let (mut sum, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => return Ok(hex(&sum.finalize())),
                    Ok(count) => sum.update(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(unreadable(name, &error)),
                }
            }
        })?;
        is_sum(file, found)
    }

    /// The bytes of a file that a description names, not more than the limit, held against the sum that it gives.
    ///
    /// # Errors
    ///
    /// [`PackageError::WrongSum`], or those of [`Package::read`].
    pub fn read_verified(
        &mut self,
        file: &FileRef,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, PackageError> {
        let bytes = self.read(&file.source, limit_bytes)?;
        is_sum(file, hex(&Sha256::digest(&bytes)))?;
        Ok(bytes)
    }

    /// A test tensor, an `.npy` file of at most 2 GiB, as f32.
    ///
    /// # Errors
    ///
    /// Those of [`Package::read_verified`]; [`PackageError::Unreadable`] if it is no such file.
    pub fn tensor(&mut self, file: &FileRef) -> Result<ArrayD<f32>, PackageError> {
        let bytes = self.read_verified(file, MAX_TENSOR_BYTES)?;
        npy::read_f32(&bytes, &Limits::default()).map_err(|error| PackageError::Unreadable {
            name: shown(&file.source),
            reason: error.to_string(),
        })
    }

    /// Where a file lies, if the package is a folder.
    ///
    /// # Errors
    ///
    /// [`PackageError::Outside`], [`PackageError::Missing`].
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>, PackageError> {
        let inner = inner_name(name)?;
        match &self.files {
            Files::Folder(folder) => file_in(folder, &inner, name).map(Some),
            Files::Zip(_) => Ok(None),
        }
    }

    fn with_file<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut dyn Read) -> Result<T, PackageError>,
    ) -> Result<T, PackageError> {
        let inner = inner_name(name)?;
        match &mut self.files {
            Files::Folder(folder) => {
                let path = file_in(folder, &inner, name)?;
                work(&mut File::open(path).map_err(|error| unreadable(name, &error))?)
            }
            Files::Zip(archive) => match archive.by_name(&inner) {
                Ok(mut entry) if entry.is_file() => work(&mut entry),
                Ok(_) | Err(ZipError::FileNotFound) => Err(PackageError::Missing(shown(name))),
                Err(error) => Err(unreadable(name, &error)),
            },
        }
    }
}

/// A name with slashes that stays inside.
fn inner_name(name: &str) -> Result<String, PackageError> {
    let outside = || PackageError::Outside(shown(name));
    let mut parts = Vec::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(outside)?),
            Component::CurDir => {}
            _ => return Err(outside()),
        }
    }
    // An address, a drive, or a path of Windows.
    if parts.is_empty() || name.contains([':', '\\', '\0']) {
        return Err(outside());
    }
    Ok(parts.join("/"))
}

/// The path of a file, if it is one and does not lie outside.
fn file_in(folder: &Path, inner: &str, name: &str) -> Result<PathBuf, PackageError> {
    let missing = |_| PackageError::Missing(shown(name));
    let path = folder.join(inner).canonicalize().map_err(missing)?;
    if !path.starts_with(folder) {
        return Err(PackageError::Outside(shown(name)));
    }
    if !path.is_file() {
        return Err(PackageError::Missing(shown(name)));
    }
    Ok(path)
}

fn is_sum(file: &FileRef, found: String) -> Result<(), PackageError> {
    match &file.sha256 {
        Some(expected) if *expected != found => Err(PackageError::WrongSum {
            name: shown(&file.source),
            found,
            expected: expected.clone(),
        }),
        _ => Ok(()),
    }
}

fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unreadable(name: &str, error: &dyn std::error::Error) -> PackageError {
    PackageError::Unreadable {
        name: shown(name),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::sample::plain;

    const LIMIT: u64 = 1 << 20;

    /// The same files as a folder and as a zip.
    fn packages(files: &[(&str, &[u8])]) -> (tempfile::TempDir, [Package; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("package");
        let mut zip = zip::ZipWriter::new(File::create(folder.path().join("package.zip")).unwrap());
        for (name, bytes) in files {
            let path = inside.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        let packages = ["package", "package.zip"]
            .map(|name| Package::open(&folder.path().join(name)).unwrap());
        (folder, packages)
    }

    fn file(source: &str, sha256: Option<&str>) -> FileRef {
        FileRef {
            source: source.to_owned(),
            sha256: sha256.map(str::to_owned),
        }
    }

    #[test]
    fn folders_and_zips_are_read_alike() {
        let text = plain().to_string();
        let tensor = npy::write(&ndarray::arr2(&[[1_u8, 2], [3, 4]]).into_dyn().view());
        let (_folder, packages) =
            packages(&[("rdf.yaml", text.as_bytes()), ("tests/in.npy", &tensor)]);
        for mut package in packages {
            assert_eq!(package.description().unwrap().name, "Plain network");
            let read = package.tensor(&file("./tests/in.npy", None)).unwrap();
            assert_eq!(read, ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0]]).into_dyn());
            let missing = package.read("tests/out.npy", LIMIT).unwrap_err();
            assert!(matches!(missing, PackageError::Missing(name) if name == "tests/out.npy"));
            assert!(matches!(
                package.read("tests", LIMIT),
                Err(PackageError::Missing(_))
            ));
            let unreadable = package.tensor(&file("rdf.yaml", None)).unwrap_err();
            assert!(matches!(unreadable, PackageError::Unreadable { .. }));
        }
    }

    #[test]
    fn descriptions_are_found_by_all_their_names() {
        let text = plain().to_string();
        for name in ["model.yaml", "bioimageio.yaml", "nuclei.rdf.yaml"] {
            let (_folder, packages) =
                packages(&[(name, text.as_bytes()), ("my_model.yaml", b"no")]);
            for mut package in packages {
                assert!(package.description().is_ok(), "{name}");
            }
        }
        let (_folder, packages) = packages(&[("readme.md", b"")]);
        for mut package in packages {
            assert!(matches!(
                package.description(),
                Err(PackageError::NoDescription)
            ));
        }
    }

    #[test]
    fn sums_are_checked_and_both_are_told() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let (_folder, packages) = packages(&[("abc.onnx", b"abc"), ("abd.onnx", b"abd")]);
        for mut package in packages {
            package.verify(&file("abc.onnx", Some(sum))).unwrap();
            package.verify(&file("abd.onnx", None)).unwrap();
            assert_eq!(
                package
                    .read_verified(&file("abc.onnx", Some(sum)), LIMIT)
                    .unwrap(),
                b"abc"
            );
            let errors = [
                package.verify(&file("abd.onnx", Some(sum))).unwrap_err(),
                package
                    .read_verified(&file("abd.onnx", Some(sum)), LIMIT)
                    .unwrap_err(),
            ];
            for error in errors {
                let told = error.to_string();
                assert!(
                    told.contains(sum)
                        && told.contains(
                            "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"
                        ),
                    "{told}"
                );
            }
        }
    }

    #[test]
    fn no_name_leads_out_of_a_package() {
        let (_folder, packages) = packages(&[("rdf.yaml", b"a"), ("sub/rdf.yaml", b"a")]);
        for mut package in packages {
            for name in [
                "../package/rdf.yaml",
                "sub/../../x",
                "/etc/passwd",
                "",
                ".",
                "C:\\x",
                "a\\b",
                "https://example.org/weights.onnx",
                "a\0",
            ] {
                let error = package.read(name, LIMIT).unwrap_err();
                assert!(matches!(error, PackageError::Outside(_)), "{name}: {error}");
                assert!(package.path(name).is_err(), "{name}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_of_a_package() {
        let (folder, [mut package, _]) = packages(&[("inner.txt", b"in")]);
        std::fs::write(folder.path().join("outer.txt"), "out").unwrap();
        let inside = folder.path().join("package");
        std::os::unix::fs::symlink("../outer.txt", inside.join("out")).unwrap();
        std::os::unix::fs::symlink("inner.txt", inside.join("in")).unwrap();
        assert!(matches!(
            package.read("out", LIMIT),
            Err(PackageError::Outside(_))
        ));
        assert_eq!(package.read("in", LIMIT).unwrap(), b"in");
        assert_eq!(
            package.path("in").unwrap(),
            Some(inside.canonicalize().unwrap().join("inner.txt"))
        );
    }

    #[test]
    fn files_that_are_too_large_are_not_read() {
        let (_folder, packages) = packages(&[("zeros", &vec![0; 3 << 20])]);
        for mut package in packages {
            let error = package.read("zeros", LIMIT).unwrap_err();
            assert!(matches!(
                error,
                PackageError::TooLarge {
                    limit_bytes: LIMIT,
                    ..
                }
            ));
            assert_eq!(package.read("zeros", 3 << 20).unwrap().len(), 3 << 20);
        }
    }

    #[test]
    fn what_is_no_package_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.zip");
        let open = || Package::open(&path).unwrap_err().to_string();
        assert!(open().contains("weights.zip is no package"), "{}", open());
        std::fs::write(&path, "PK").unwrap();
        assert!(open().contains("weights.zip is no package"), "{}", open());
    }
}
