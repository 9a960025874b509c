//! The conformance suite: consumers that come with the crate keep the contract, the example keeps it, and those that break it
//! are told how.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use redis_consumer::error_class::{ErrorClass, WithClass as _};
use redis_consumer::serving::ModelId;
use redis_consumer::storage::Storage;
use redis_consumer::testing::Conformance;
use redis_consumer::{Consumer, ConsumerKind, Job, Outcome, Output, Registry};

use crate::other_models;
use crate::peers::cluster::IMAGE;
use crate::peers::{exact_models, spot_model, synthetic_images};

/// The example runs the suite on itself.
#[path = "../../examples/custom_consumer.rs"]
#[allow(dead_code, reason = "its `main` is not called here")]
mod custom_consumer;

fn builtin(name: &str) -> Conformance {
    Conformance::new(Registry::builtin().find(name).expect("it is builtin"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_images_keeps_the_contract() {
    builtin("image")
        .object("uploads/nuclei.png", IMAGE)
        .model(exact_models::model(
            "nuclear",
            "NuclearSegmentation:6",
            [64, 64],
        ))
        .job([
            ("input_file_name", "uploads/nuclei.png"),
            ("dimension_order", "XYC"),
            ("channels", "0,"),
        ])
        .bad_job([
            ("input_file_name", "uploads/nuclei.png"),
            ("dimension_order", "XYC"),
            ("channels", "nothing"),
        ])
        .bad_job([("input_file_name", "uploads/absent.png")])
        .check()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_spots_keeps_the_contract() {
    builtin("spot")
        .object("uploads/spots.tif", &synthetic_images::spots_and_cells(1))
        .model(spot_model::model(
            &ModelId::new("SpotDetection", 3),
            &[-1, 64, 64, 1],
        ))
        .job([("input_file_name", "uploads/spots.tif"), ("channels", "")])
        .check()
        .await;
}

fn tiff(image: ndarray::Array2<f32>) -> Vec<u8> {
    bioimage::encode_tiff(image.view().into_dyn())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_stardist_keeps_the_contract() {
    builtin("stardist")
        .setting("STARDIST_MODEL", "Disks:1")
        .setting("STARDIST_PERCENTILES", "0,100")
        .object("uploads/stars.tif", &tiff(other_models::stars()))
        .model(other_models::disks([-1, 64, 64, 1]))
        .job([
            ("input_file_name", "uploads/stars.tif"),
            ("channels", "0"),
            ("dimension_order", ""),
        ])
        .bad_job([
            ("input_file_name", "uploads/stars.tif"),
            ("channels", "nothing"),
            ("dimension_order", ""),
        ])
        .check()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_cellpose_keeps_the_contract() {
    builtin("cellpose")
        .setting("CELLPOSE_MODEL", "Flows:1")
        .object("uploads/hills.tif", &tiff(other_models::hills()))
        .model(other_models::flows(224))
        .job([
            ("input_file_name", "uploads/hills.tif"),
            ("channels", "0,"),
            ("dimension_order", ""),
        ])
        .bad_job([
            ("input_file_name", "uploads/hills.tif"),
            ("channels", "0,"),
            ("diameter", "wide"),
            ("dimension_order", ""),
        ])
        .check()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_labels_keeps_the_contract() {
    builtin("labels")
        .setting("LABELS_MODEL", "Labeler:1")
        .object("uploads/hills.tif", &tiff(other_models::hills()))
        .model(other_models::labeler())
        .job([
            ("input_file_name", "uploads/hills.tif"),
            ("channels", "0"),
            ("dimension_order", ""),
        ])
        .check()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_of_packages_keeps_the_contract() {
    builtin("bioimageio")
        .setting("MODEL_SERVER", "onnx")
        .setting("MODEL_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/models"))
        .setting("BIOIMAGEIO_MODEL", "nuclei-stars:1")
        .object("uploads/nuclei.png", IMAGE)
        .job([
            ("input_file_name", "uploads/nuclei.png"),
            ("channels", "0"),
            ("dimension_order", ""),
        ])
        .bad_job([
            ("input_file_name", "uploads/nuclei.png"),
            ("channels", "0,1,2"),
            ("dimension_order", ""),
        ])
        .check()
        .await;
}

/// Breaks the contract in one way.
struct Careless {
    storage: Storage,
    fault: Fault,
    calls: AtomicUsize,
    is_working: AtomicBool,
}

#[derive(Clone, Copy)]
enum Fault {
    AnotherResultEachTime,
    AnotherKey,
    AnotherObjectToo,
    ForgetsThatItWasDropped,
    PanicsAtAnEmptyFile,
    BlamesOthersForABrokenFile,
}

#[async_trait]
impl Consumer for Careless {
    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        assert!(
            !self.is_working.load(Ordering::Relaxed),
            "there is a job already"
        );
        let forgets = matches!(self.fault, Fault::ForgetsThatItWasDropped);
        self.is_working.store(forgets, Ordering::Relaxed);
        let file = self.storage.download(job.input_file_name()?).await?;
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut key = job.output_key();
        let mut body = file.len().to_string();
        match self.fault {
            Fault::AnotherResultEachTime => body = calls.to_string(),
            Fault::AnotherKey => key = "output/mine.txt".to_owned(),
            Fault::AnotherObjectToo => {
                drop(self.storage.upload("log.txt", body.clone().into()).await?);
            }
            Fault::PanicsAtAnEmptyFile => assert!(!file.is_empty(), "nothing in it"),
            Fault::BlamesOthersForABrokenFile => {
                std::str::from_utf8(&file).with_class(ErrorClass::ModelUnavailable)?;
            }
            Fault::ForgetsThatItWasDropped => {}
        }
        let url = self.storage.upload(&key, body.into()).await?;
        self.is_working.store(false, Ordering::Relaxed);
        Ok(Outcome::Done(Output { key, url }))
    }
}

redis_consumer::settings! {
    /// Carelessness.
    struct CarelessSettings {
        /// In which way the contract is broken.
        careless: u64 = 0,
    }
}

/// A kind whose setting says in which way it breaks the contract.
const CARELESS: ConsumerKind = ConsumerKind {
    name: "careless",
    aliases: &[],
    summary: "breaks the contract",
    queue_suffix: "",
    configure: |loader| {
        let fault = match loader.load::<CarelessSettings>().careless {
            0 => Fault::AnotherResultEachTime,
            1 => Fault::AnotherKey,
            2 => Fault::AnotherObjectToo,
            3 => Fault::ForgetsThatItWasDropped,
            4 => Fault::PanicsAtAnEmptyFile,
            _ => Fault::BlamesOthersForABrokenFile,
        };
        Box::new(move |clients| {
            Box::new(Careless {
                storage: clients.storage.clone(),
                fault,
                calls: AtomicUsize::new(0),
                is_working: AtomicBool::new(false),
            })
        })
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_break_the_contract_are_told_how() {
    let expected = [
        "called twice: the next run gave another result",
        "the result is `output/mine.txt` in place of the job's own `output/",
        "it wrote `log.txt`, which is not its result",
        "dropped at poll 1: in the next run the consumer panicked",
        "an empty `uploads/some.txt` made the consumer panic",
        "random bytes in place of `uploads/some.txt` gave an error of the transient class model_unavailable",
    ];
    for (fault, text) in expected.iter().enumerate() {
        let faults = Conformance::new(CARELESS)
            .setting("CARELESS", &fault.to_string())
            .object("uploads/some.txt", b"some text that is long enough")
            .job([("input_file_name", "uploads/some.txt")])
            .faults()
            .await
            .expect("it can be tested");
        assert!(
            faults.iter().any(|fault| fault.contains(text)),
            "`{text}` is not among {faults:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_should_fail_and_do_not_are_told() {
    let faults = Conformance::new(CARELESS)
        .setting("CARELESS", "4")
        .object("uploads/some.txt", b"some text")
        .bad_job([("input_file_name", "uploads/some.txt")])
        .bad_job([("input_file_name", "uploads/absent.txt")])
        .faults()
        .await
        .expect("it can be tested");
    assert_eq!(faults, ["bad job 1: it should fail, and did not"]);
}
