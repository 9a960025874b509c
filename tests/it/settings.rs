//! What the program makes of its environment, before it touches anything else.

use std::process::{Command, Output};

fn settings(pairs: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-consumer"));
    command
        .arg("settings")
        .env_clear()
        .envs(pairs.iter().copied())
        .output()
        .expect("the program starts")
}

fn shown(pairs: &[(&str, &str)]) -> String {
    let output = settings(pairs);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Value and origin of a setting in the printed table.
fn line<'t>(table: &'t str, name: &str) -> &'t str {
    table
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name))
        .unwrap_or_else(|| panic!("{name} in\n{table}"))
}

#[test]
fn the_environment_of_console_1_1_starts_unchanged() {
    let table = shown(&[
        ("QUEUE", "Predict"),
        ("CONSUMER_TYPE", "image"),
        ("HOSTNAME", "redis-consumer-5d9f-abcde"),
        ("REDIS_HOST", "redis"),
        ("REDIS_PORT", "26379"),
        ("INTERVAL", "1"),
        ("CLOUD_PROVIDER", "gke"),
        ("GKE_BUCKET", "kiosk-data"),
        ("AWS_S3_BUCKET", "NA"),
        ("AWS_ACCESS_KEY_ID", "NA"),
        ("AWS_SECRET_ACCESS_KEY", "specify_me"),
        ("GKE_COMPUTE_ZONE", "us-west1-b"),
        ("DEBUG", "False"),
        ("TF_HOST", "tf-serving"),
        ("TF_PORT", "8500"),
        ("TF_TENSOR_NAME", "image"),
        ("TF_TENSOR_DTYPE", "DT_FLOAT"),
        ("GRPC_TIMEOUT", "20"),
        ("HASH_PREFIX", "predict"),
        ("DP_HOST", "data-processing"),
        ("CUTS", "0"),
        ("SCALE_DETECT_MODEL", "ScaleDetection:3"),
        ("LABEL_DETECT_ENABLED", "true"),
        ("NUCLEAR_MODEL", "panoptic:3"),
        ("NUCLEAR_POSTPROCESS", "retinanet"),
        ("PHASE_POSTPROCESS", "retinanet-semantic"),
    ]);
    assert!(
        line(&table, "STORAGE_BUCKET").contains("gs://kiosk-data"),
        "{table}"
    );
    assert!(
        line(&table, "QUEUE").contains(" predict "),
        "queues are lower case: {table}"
    );
    assert!(
        line(&table, "LOG_LEVEL").contains("INFO") && line(&table, "LOG_LEVEL").contains("DEBUG"),
        "{table}"
    );
    assert!(
        line(&table, "AWS_ACCESS_KEY_ID").contains("(not set)"),
        "placeholders mean unset: {table}"
    );
    let warning = table
        .lines()
        .find(|line| line.starts_with("warning: without effect"))
        .expect("one warning");
    assert!(
        ["HASH_PREFIX", "DP_HOST", "CUTS", "TF_TENSOR_DTYPE"]
            .iter()
            .all(|name| warning.contains(name)),
        "{warning}"
    );
}

#[test]
fn the_environment_of_the_newest_console_starts_unchanged() {
    let table = shown(&[
        ("QUEUE", "segmentation"),
        ("CONSUMER_TYPE", "Segmentation"),
        ("HOSTNAME", "segmentation-consumer-7f-x"),
        ("REDIS_HOST", "redis"),
        ("REDIS_PORT", "26379"),
        ("STORAGE_BUCKET", "S3://Kiosk-Data"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret-that-nobody-sees"),
        ("LOG_LEVEL", "INFO"),
        ("TF_MAX_BATCH_SIZE", "32"),
        ("NUCLEAR_MODEL", "NuclearSegmentation:75"),
        ("EMPTY_QUEUE_TIMEOUT", "5"),
    ]);
    assert!(
        line(&table, "STORAGE_BUCKET").contains("s3://kiosk-data"),
        "{table}"
    );
    assert!(
        line(&table, "NUCLEAR_MODEL").contains("NuclearSegmentation:75"),
        "{table}"
    );
    assert!(
        !table.contains("nobody-sees") && !table.contains("AKIAEXAMPLE"),
        "secrets are masked: {table}"
    );
}

#[test]
fn every_mistake_is_named_at_once_with_status_64() {
    let output = settings(&[
        ("QUEUE", "a:b"),
        ("REDIS_PORT", "many"),
        ("GRPC_TIMEOUT", "-1"),
        ("SCALE_DETECT_ENABLED", "perhaps"),
        ("NUCLEAR_MODEL", "no-version"),
        ("MAX_SCALE", "0"),
        ("CONCURRENCY", "0"),
        ("STORAGE_BUCKET", "ftp://bucket"),
    ]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{text}");
    let names = [
        "QUEUE",
        "REDIS_PORT",
        "GRPC_TIMEOUT",
        "SCALE_DETECT_ENABLED",
        "NUCLEAR_MODEL",
        "MAX_SCALE",
        "CONCURRENCY",
        "STORAGE_BUCKET",
    ];
    for name in names {
        assert!(text.contains(name), "{name} is not named in\n{text}");
    }
}

#[test]
fn a_mistake_says_the_value_and_what_would_be_right() {
    let output = settings(&[
        ("STORAGE_BUCKET", "s3://bucket"),
        ("METRICS_PORT", "70000"),
        ("GRPC_TIMEOUT", "-1"),
        ("MODEL_SELECTION", "guess"),
    ]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        text,
        "redis-consumer: wrong settings:\n  \
         GRPC_TIMEOUT: `-1` cannot be used: expected 0 seconds or more\n  \
         MODEL_SELECTION: `guess` cannot be used: expected auto, hash or env\n  \
         METRICS_PORT: `70000` cannot be used: expected a whole number from 0 to 65535\n"
    );
}

#[test]
fn a_mistake_does_not_give_a_secret_away() {
    let output = settings(&[
        ("STORAGE_BUCKET", "s3://bucket"),
        ("AWS_ACCESS_KEY_ID", "a-secret-that-nobody-sees"),
    ]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("nobody-sees"),
        "{text}"
    );
}

#[test]
fn a_value_from_an_older_name_says_so() {
    let table = shown(&[
        ("STORAGE_BUCKET", "s3://bucket"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("CONSUMER_TYPE", "multiplex"),
        ("MULTIPLEX_MODEL", "Tissue:1"),
        ("DEBUG", ""),
    ]);
    for (name, value, origin) in [
        ("AWS_REGION", "eu-west-1", "from AWS_DEFAULT_REGION"),
        ("MESMER_MODEL", "Tissue:1", "from MULTIPLEX_MODEL"),
        ("LOG_LEVEL", "INFO", "from DEBUG"),
    ] {
        let line = line(&table, name);
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }
}

#[test]
fn the_reference_has_the_variables_that_clouds_and_clusters_set() {
    let reference = include_str!("../../docs/settings.md");
    for name in [
        "AWS_ROLE_ARN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_DEFAULT_REGION",
        "KUBERNETES_SERVICE_HOST",
        "GCLOUD_STORAGE_BUCKET",
        "CLOUD_PROVIDER",
        "DEBUG",
    ] {
        assert!(reference.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn no_variable_is_in_the_reference_twice() {
    let mut seen = std::collections::HashSet::new();
    let rows = include_str!("../../docs/settings.md").lines();
    for name in rows.filter_map(|line| line.strip_prefix("| `")?.split('`').next()) {
        assert!(seen.insert(name), "{name} is there twice");
    }
    assert!(seen.len() > 100, "only {} variables", seen.len());
}

#[test]
fn the_reference_of_settings_is_up_to_date() {
    let output = Command::new(env!("CARGO_BIN_EXE_redis-consumer"))
        .args(["settings", "--reference"])
        .env_clear()
        .output();
    let printed =
        String::from_utf8(output.expect("the program starts").stdout).expect("it prints text");
    let written = include_str!("../../docs/settings.md");
    assert!(
        printed == written,
        "make it anew: redis-consumer settings --reference >docs/settings.md"
    );
}
