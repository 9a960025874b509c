//! Frames of movies, through segmentation to tracking.

use std::io;
use std::sync::Arc;

use batch_plan::{
    CheckOptions, Choice, Entries, Entry, Expected, ListError, Lists, Overrides, Plan, Renderer,
    Resolved, Row, Supply, check,
};

/// A folder with some frames, the late ones first.
struct Folder(Vec<String>);

impl Folder {
    fn new(movies: u32, frames: u32) -> Self {
        let mut names = vec!["notes.txt".to_owned()];
        for frame in (1..=frames).rev() {
            for movie in 1..=movies {
                names.push(format!("m{movie:02}/t{frame}.tif"));
            }
        }
        Self(names)
    }
}

impl Supply for Folder {
    fn folder(&mut self, path: &str) -> io::Result<Entries<'_>> {
        assert_eq!(path, "./hela");
        let entry = |name: &String| {
            Ok(Entry {
                name: name.clone(),
                size: 7,
            })
        };
        Ok(Box::new(self.0.iter().map(entry)))
    }
}

fn read(sample: bool, folder: &mut Folder) -> Result<(Resolved, Lists), ListError> {
    let plan = Plan::parse(include_bytes!("plans/movies.yaml")).expect("the plan is right");
    let overrides = Overrides {
        sample,
        ..Overrides::default()
    };
    let mut plan = plan.resolve(&overrides).expect("the plan fits together");
    let lists = plan.read_lists(folder)?;
    Ok((plan, lists))
}

#[test]
fn frames_stand_with_their_movie_in_order() {
    let (plan, lists) = read(false, &mut Folder::new(40, 125)).unwrap();
    assert_eq!((plan.total(0), plan.total(1)), (Some(5000), Some(40)));
    assert_eq!(
        (plan.largest_group(1), plan.counter_bits(1)),
        (Some(125), Some(8))
    );
    let frames = lists.get(0).unwrap();
    let path = |item| {
        frames.row(item).unwrap().vars["path"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // By number, not by letter: t2 before t10.
    assert_eq!(
        [path(0), path(1), path(9)],
        ["m01/t1.tif", "m01/t2.tif", "m01/t10.tif"]
    );
    assert_eq!(path(125), "m02/t1.tif");
    let movies = lists.get(1).unwrap();
    assert_eq!(
        movies.line(1).unwrap(),
        r#"{"v":{"count":125,"group":"m02"},"f":125}"#
    );
    assert_eq!(frames.row(130).unwrap().group, Some((1, 125)));
    let row = movies.row(1).unwrap();
    assert_eq!(plan.children(1, 1, Some(&row)), [(0, (125..250).collect())]);
}

#[test]
fn frames_and_movies_become_jobs() {
    let (plan, lists) = read(false, &mut Folder::new(3, 5)).unwrap();
    let plan = Arc::new(plan);
    let row = Row::from_line(&lists.get(0).unwrap().line(6).unwrap()).unwrap();
    let renderer = Renderer::new(plan.clone(), 0).unwrap();
    let job = renderer.job(6, Some(&row)).unwrap();
    assert_eq!(job.id, "uploads/hela-20261128/m02/t2.tif");
    assert_eq!(job.input, job.id);
    assert!(job.key.starts_with("segmentation:t2.tif:"), "{}", job.key);
    assert_eq!(job.ups_text(), "1:1:5");
    assert_eq!(job.fields[0], ("channels".to_owned(), "0,".to_owned()));
    assert_eq!(
        renderer.expected(6, Some(&row)).unwrap(),
        [Expected::Result]
    );
    let row = lists.get(1).unwrap().row(1).unwrap();
    let job = Renderer::new(plan.clone(), 1)
        .unwrap()
        .job(1, Some(&row))
        .unwrap();
    assert_eq!(job.id, "m02");
    assert_eq!(job.input, "plans/hela-20261128/track/m/m02.json");
    assert_eq!(
        job.fields,
        [("original_name".to_owned(), "m02.json".to_owned())]
    );
    let report = check(&plan, &lists, CheckOptions::default()).unwrap();
    assert_eq!((report.looked_at, report.problems), (vec![15, 3], vec![]));
}

#[test]
fn a_sample_has_whole_counts_of_its_own() {
    let (mut plan, mut lists) = read(true, &mut Folder::new(5, 4)).unwrap();
    plan.choose(&mut lists, &Choice::Count(6)).unwrap();
    assert_eq!(plan.name(), "hela-20261128.sample");
    assert_eq!((plan.total(0), plan.total(1)), (Some(6), Some(2)));
    let movies = lists.get(1).unwrap();
    let groups: Vec<_> = movies.lines().collect();
    assert_eq!(
        groups,
        [
            r#"{"v":{"count":4,"group":"m03"},"f":0}"#,
            r#"{"v":{"count":2,"group":"m04"},"f":4}"#,
        ]
    );
    let frames = lists.get(0).unwrap();
    assert_eq!(frames.row(5).unwrap().group, Some((1, 2)));
    let json = plan.to_json().unwrap();
    assert_eq!(Resolved::from_json(&json).unwrap(), plan);

    let (mut plan, mut lists) = read(true, &mut Folder::new(5, 4)).unwrap();
    plan.choose(&mut lists, &Choice::Group("m05".to_owned()))
        .unwrap();
    assert_eq!((plan.total(0), plan.total(1)), (Some(4), Some(1)));
    let (mut plan, mut lists) = read(true, &mut Folder::new(5, 4)).unwrap();
    let error = plan
        .choose(&mut lists, &Choice::Group("m5".to_owned()))
        .unwrap_err();
    assert!(error.to_string().contains("did you mean"), "{error}");
}

#[test]
fn what_the_pattern_does_not_fit_is_named() {
    let mut folder = Folder::new(2, 2);
    folder.0.push("m03/tx.tif".to_owned());
    let error = read(false, &mut folder).unwrap_err();
    assert!(error.to_string().contains("m03/tx.tif"), "{error}");
}
