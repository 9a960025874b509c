//! The layered ingest: 12 million items, none of which is stored.

use std::sync::Arc;

use batch_plan::{Overrides, Plan, Renderer, Resolved, Up};

fn resolved(overrides: &Overrides) -> Arc<Resolved> {
    let plan = Plan::parse(include_bytes!("plans/layers.yaml")).expect("the plan is right");
    Arc::new(plan.resolve(overrides).expect("the plan fits together"))
}

#[test]
fn the_layers_are_counted() {
    let plan = resolved(&Overrides::default());
    let stages: Vec<_> = plan
        .stages()
        .iter()
        .enumerate()
        .map(|(k, stage)| (stage.name.as_str(), plan.total(k).unwrap()))
        .collect();
    assert_eq!(
        stages,
        [
            ("l2", 10_528_000),
            ("l3", 1_316_000),
            ("l4", 164_500),
            ("l5", 20_768),
            ("l6", 2596),
            ("l7", 660),
            ("l8", 165),
            ("l9", 48),
            ("l10", 12),
            ("l11", 4),
            ("l12", 1),
        ]
    );
    let sum: u64 = stages.iter().map(|(_, total)| total).sum();
    assert_eq!(sum, 12_032_754);
    assert_eq!(plan.largest_group(0), None);
    assert_eq!(
        (plan.largest_group(1), plan.counter_bits(1)),
        (Some(8), Some(8))
    );
    assert_eq!(
        plan.largest_group(5),
        Some(4),
        "one plane is left on the last axis"
    );
}

#[test]
fn a_chunk_becomes_a_job() {
    let plan = resolved(&Overrides::default());
    let renderer = Renderer::new(plan.clone(), 0).unwrap();
    let item = plan.grid(0).unwrap().number(&[939, 699, 15]).unwrap();
    assert_eq!(item, 10_527_999);
    let job = renderer.job(item, None).unwrap();
    assert_eq!(job.id, "939_699_15");
    assert!(job.key.starts_with("ingest-l2:939_699_15:"), "{}", job.key);
    let parent = plan.grid(1).unwrap().number(&[469, 349, 7]).unwrap();
    assert_eq!(
        job.ups,
        [Up {
            stage: 1,
            parent,
            children: 8
        }]
    );
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        job.hash(plan.name()),
        [
            field("graph", "minnie_v3"),
            field("layer", "2"),
            field("x", "939"),
            field("y", "699"),
            field("z", "15"),
            field("rc_batch", "minnie-v3"),
            field("rc_item", "0:10527999"),
            field("rc_up", "1:1315999:8"),
            field("rc_timeout", "180"),
            field("rc_attempts_max", "3"),
            field("rc_crashes_max", "1"),
        ]
    );
}

#[test]
fn layers_have_their_own_numbers() {
    let plan = resolved(&Overrides::default());
    let renderer = Renderer::new(plan.clone(), 9).unwrap();
    let job = renderer.job(3, None).unwrap();
    assert_eq!(job.id, "1_1_0");
    assert_eq!((job.timeout, job.memory), (Some(121 * 60), Some(22 << 30)));
    assert_eq!(
        job.ups,
        [Up {
            stage: 10,
            parent: 0,
            children: 4
        }]
    );
    // 2×2 above 4×3: the last row of parents has one child on its axis.
    assert_eq!(plan.children(9, 3, None), [(8, vec![8, 11])]);
    let root = Renderer::new(plan.clone(), 10)
        .unwrap()
        .job(0, None)
        .unwrap();
    assert!(root.ups.is_empty());
    assert!(
        root.hash(plan.name())
            .iter()
            .all(|(name, _)| name != "rc_up")
    );
    assert!(Renderer::new(plan, 11).is_err());
}

#[test]
fn items_are_fed_in_the_order_of_the_seed() {
    let plan = resolved(&Overrides::default());
    let first: Vec<_> = (0..4).map(|p| plan.item_at(0, p).unwrap()).collect();
    assert_eq!(
        first,
        [818_939, 4_686_093, 6_656_446, 6_681_876],
        "the order is a part of what a batch is"
    );
    assert_eq!(plan.item_at(0, 10_528_000), None);
    assert_eq!(plan.item_at(1, 5), Some(5));
}

#[test]
fn feeders_share_what_renders() {
    fn shared<T: Send + Sync>() {}
    shared::<Renderer>();
    shared::<Resolved>();
}

#[test]
fn values_are_overridden() {
    let overrides = Overrides {
        set: vec![
            ("graph".to_owned(), "007".to_owned()),
            ("tries".to_owned(), "5".to_owned()),
        ],
        ..Overrides::default()
    };
    let job = Renderer::new(resolved(&overrides), 0)
        .unwrap()
        .job(0, None)
        .unwrap();
    assert_eq!(job.fields[0].1, "007");
    assert_eq!(job.attempts, Some(5));
}

#[test]
fn the_stored_form_comes_back() {
    let plan = resolved(&Overrides::default());
    let json = plan.to_json().unwrap();
    let back = Resolved::from_json(&json).unwrap();
    assert_eq!(back, *plan);
    assert_eq!(back.to_json().unwrap(), json);
    assert_eq!(back.digest().unwrap(), plan.digest().unwrap());
    let newer = json.replacen("\"first\":true", "\"first\":true,\"later\":1", 1);
    assert!(Resolved::from_json(&newer).is_err());
}
