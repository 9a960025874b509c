//! The rules of a stage that are about inputs, held against one at a time.

use batch_plan::work::{Bounds, ImageRule, Verify};
use batch_plan::{Job, Stage};

use super::fault::{Fault, Kind};
use super::rules::{has, needs_input};
use super::subjects::{Input, Place, Subjects};
use super::{header, image};
use crate::batch::{Outputs, Wanted};
use crate::figures::grouped;
use crate::storage::Storage;

/// What rules want of inputs, and what there is.
pub(super) struct Inputs<'a> {
    rules: &'a [Verify],
    /// Whether inputs have to be there.
    are_needed: bool,
    storage: Option<&'a Storage>,
    /// What is in the bucket where inputs are, if a rule asks for it.
    listing: Option<Outputs>,
}

impl<'a> Inputs<'a> {
    pub(super) async fn of(
        stage: &'a Stage,
        storage: Option<&'a Storage>,
        subjects: &Subjects<'_>,
    ) -> anyhow::Result<Self> {
        let are_needed = has(stage, needs_input);
        let mut listing = None;
        if let Some(storage) = storage.filter(|_| are_needed)
            && let Some(prefix) = common_prefix(subjects, storage)?
        {
            let wanted = Wanted::new([Some(prefix)], false);
            listing = Some(Outputs::list(storage, wanted).await?);
        }
        Ok(Self {
            rules: &stage.work.verify,
            are_needed,
            storage,
            listing,
        })
    }

    /// What is wrong with an input of a job.
    pub(super) async fn look(&self, job: &Job, input: &Input) -> Vec<Fault> {
        let fault = |kind, why: String| Fault::new(kind, &input.reference, why);
        let mut faults = Vec::new();
        let size = self.size(&input.place);
        for rule in self.rules {
            match (rule, size) {
                (Verify::Suffix(suffixes), _) if !ends_so(&input.reference, suffixes) => {
                    let wanted = suffixes.join(" or ");
                    faults.push(fault(Kind::Suffix, format!("{wanted} wanted")));
                }
                (Verify::Size(bounds), Some(size)) => {
                    let why = wrong_size(size, *bounds);
                    faults.extend(why.map(|why| fault(Kind::Size, why)));
                }
                (Verify::Image(rule), Some(_)) => {
                    let why = self.image(job, input, rule).await;
                    faults.extend(why.map(|why| fault(Kind::Image, why)));
                }
                _ => {}
            }
        }
        if self.are_needed && size.is_none() {
            let why = match &input.place {
                Place::Nowhere(why) => why.clone(),
                Place::Object(_) | Place::File(_) => String::new(),
            };
            faults.push(fault(Kind::Missing, why));
        }
        faults
    }

    /// The bytes of an input that is there.
    fn size(&self, place: &Place) -> Option<u64> {
        match place {
            Place::Object(key) => self.listing.as_ref()?.size(key),
            Place::File(path) => Some(std::fs::metadata(path).ok()?.len()),
            Place::Nowhere(_) => None,
        }
    }

    async fn image(&self, job: &Job, input: &Input, rule: &ImageRule) -> Option<String> {
        match header::read(&input.place, &input.reference, self.storage).await {
            Err(why) => Some(why),
            Ok(header) => {
                let mut fields = job.fields.iter();
                let order = fields.find(|(name, _)| name == "dimension_order");
                image::compare(&header, order.map(|(_, order)| order.as_str()), rule)
            }
        }
    }
}

/// What the keys of all inputs in the bucket begin with; nothing if there are none.
fn common_prefix(subjects: &Subjects<'_>, storage: &Storage) -> anyhow::Result<Option<String>> {
    let mut prefix: Option<String> = None;
    for subject in subjects.iter(Some(storage)) {
        for input in subject?.inputs {
            let Place::Object(key) = input.place else {
                continue;
            };
            let Some(prefix) = &mut prefix else {
                prefix = Some(key);
                continue;
            };
            let common = prefix.chars().zip(key.chars()).take_while(|(a, b)| a == b);
            let bytes = common.map(|(letter, _)| letter.len_utf8()).sum();
            prefix.truncate(bytes);
        }
    }
    Ok(prefix)
}

fn ends_so(reference: &str, suffixes: &[String]) -> bool {
    let name = reference.to_lowercase();
    suffixes
        .iter()
        .any(|suffix| name.ends_with(&suffix.to_lowercase()))
}

fn wrong_size(size: u64, Bounds { min, max }: Bounds) -> Option<String> {
    let wanted = match (min, max) {
        (Some(min), _) if size < min => format!("{} or more", grouped(min)),
        (_, Some(max)) if size > max => format!("{} at most", grouped(max)),
        _ => return None,
    };
    Some(format!("{} bytes, {wanted} wanted", grouped(size)))
}
