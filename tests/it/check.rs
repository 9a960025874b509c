//! `redis-consumer check` against real peers, sound and unsound ones.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};

use redis::RedisConnectionInfo;
use redis_consumer::serving::{ModelServer, ServerLimit};
use serde_json::Value;

use crate::peers;
use crate::peers::cluster::{Cluster, eventually};
use crate::peers::faults::Fault;
use crate::peers::redis::{Redis, Replica};
use crate::peers::s3::S3Server;
use crate::peers::scripted_http::{ScriptedHttp, answer};

async fn cluster() -> Cluster {
    let models = vec![
        peers::exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]),
        peers::exact_models::model("cytoplasm", "CytoplasmSegmentation:5", [64, 64]),
        peers::exact_models::model("mesmer", "MultiplexSegmentation:9", [64, 64]),
    ];
    Cluster::with(Redis::start(), models).await
}

fn check(cluster: &Cluster, arguments: &[&str], changes: &[(&str, &str)]) -> Output {
    cluster.run(&[&["check"], arguments].concat(), changes)
}

/// The lines of a part of the report, as `verdict text`.
fn lines(output: &Output, part: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = found.filter(|line| {
        line["part"]
            .as_str()
            .is_some_and(|name| name.starts_with(part))
    });
    found
        .map(|line| {
            format!(
                "{} {}",
                line["verdict"].as_str().expect("it is text"),
                line["text"].as_str().expect("it is text")
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_installation_is_found_sound() {
    let cluster = cluster().await;
    let output = check(&cluster, &[], &[("QUEUE", "segmentation")]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "consumer `image`, queue `segmentation`",
        "master",
        "0 waiting",
        "may be run",
        "every command and every key of the queue may be used",
        "wrote `output/rc-check.txt`",
        "read it again",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(
        text.contains("ok     model NuclearSegmentation:6"),
        "{text}"
    );
    assert!(
        text.contains("warn   model PhaseCytoSegmentation:0"),
        "jobs may do without it\n{text}"
    );
    assert!(text.ends_with("warnings\n"), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_remedy() {
    let cluster = cluster().await;
    let of = |part: &str, changes: &[(&str, &str)]| {
        let output = check(&cluster, &["--json"], changes);
        (output.status.code(), lines(&output, part).join("\n"))
    };
    let (status, text) = of("CONCURRENCY", &[("CONCURRENCY", "many")]);
    assert_eq!(status, Some(64));
    assert!(text.contains("wrong `many`"), "{text}");
    let (status, text) = of("redis", &[("REDIS_PORT", "1")]);
    assert_eq!(status, Some(4));
    assert!(text.starts_with("wrong 127.0.0.1:1: "), "{text}");
    let (status, text) = of("model", &[("TF_PORT", "1")]);
    assert_eq!(status, Some(4));
    assert!(
        text.starts_with("wrong 127.0.0.1:1: ") && text.ends_with("jobs wait until it is there"),
        "{text}"
    );
    let (status, text) = of("model", &[("NUCLEAR_MODEL", "Nowhere:3")]);
    assert_eq!(status, Some(4));
    assert!(
        text.contains("wrong ") && text.contains("Nowhere:3"),
        "{text}"
    );
    let (status, text) = of(
        "model",
        &[
            ("CONSUMER_TYPE", "mesmer"),
            ("MESMER_MODEL", "NuclearSegmentation:6"),
        ],
    );
    assert_eq!(status, Some(4));
    assert!(
        text.ends_with("\nwrong it takes images of 1 channels, and is given 2"),
        "{text}"
    );
    let (status, text) = of(
        "model",
        &[
            ("CONSUMER_TYPE", "tracking"),
            ("NEIGHBORHOOD_ENCODER", "NuclearSegmentation:6"),
        ],
    );
    assert_eq!(status, Some(4));
    assert!(text.contains("and is given encoder_app_input, "), "{text}");
    let (status, text) = of(
        "bucket",
        &[
            ("STORAGE_BUCKET", "s3://nowhere"),
            ("AWS_S3_ENDPOINT", "http://127.0.0.1:1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "SECRET"),
        ],
    );
    assert_eq!(status, Some(4));
    assert!(text.starts_with("wrong writing: "), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_written_read_and_fetched_as_users_do() {
    let cluster = cluster().await;
    let bucket = S3Server::start();
    let settings = bucket.environment();
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let output = check(&cluster, &["--json"], &settings);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output, "bucket").len(), 2);
    let [found] = lines(&output, "results").try_into().expect("one line");
    assert!(
        found.starts_with("warning http://")
            && found.contains("403")
            && found.contains("STORAGE_ACL"),
        "{found}"
    );
    bucket.faults.fail_next(1, Fault::Status(403));
    let output = check(&cluster, &["--json"], &settings);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(
        lines(&output, "bucket")[0].starts_with("wrong writing: "),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_loses_jobs_is_told() {
    let cluster = cluster().await;
    let _: String = cluster
        .redis
        .ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let output = check(&cluster, &["--json"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        lines(&output, "redis")
            .iter()
            .any(|line| line.starts_with("warning maxmemory-policy")),
        "{output:?}"
    );

    let replica = Replica::start(&cluster.redis);
    replica.catch_up(&cluster.redis);
    let port = replica.redis.port().to_string();
    let output = check(&cluster, &["--json"], &[("REDIS_PORT", &port)]);
    assert_eq!(output.status.code(), Some(4));
    assert!(
        lines(&output, "redis")
            .iter()
            .any(|line| line.contains("which takes no writes")),
        "{output:?}"
    );
    eventually("nothing was left", || cluster.redis.keys("rc:*").is_empty());
}

/// A bucket and a model beside this Redis.
async fn beside(redis: Redis) -> Cluster {
    let id = "NuclearSegmentation:6";
    let model = peers::exact_models::model("nuclear", id, [64, 64]);
    Cluster::with(redis, vec![model]).await
}

/// The first line of the report about a part.
fn line(cluster: &Cluster, part: &str, changes: &[(&str, &str)]) -> String {
    let output = check(cluster, &["--json"], changes);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let found = lines(&output, part).into_iter().next();
    found.unwrap_or_else(|| panic!("nothing of {part} in {output:?}"))
}

/// Holds a line to parts that it must have, in this order.
fn assert_says(line: &str, parts: &[&str]) {
    let mut rest = line;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("`{part}` is not where it should be in\n{line}");
        };
        rest = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_redis_is_told() {
    let cluster = beside(Redis::start_in_memory()).await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener
        .local_addr()
        .expect("an address")
        .port()
        .to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let told = line(&cluster, "redis", &[("REDIS_PORT", &port)]);
    assert_says(&told, &["wrong", "this is no Redis"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_says_to_a_stranger_is_told() {
    let owner = RedisConnectionInfo::default().set_password("open-sesame");
    let closed = beside(Redis::start_with(&["--requirepass", "open-sesame"], owner)).await;
    let told = line(&closed, "redis", &[]);
    assert_says(&told, &["wrong", "NOAUTH", "set REDIS_PASSWORD"]);
    let told = line(&closed, "redis", &[("REDIS_PASSWORD", "guess")]);
    assert_says(
        &told,
        &["WRONGPASS", "compare REDIS_USERNAME and REDIS_PASSWORD"],
    );
    assert!(!told.contains("guess"), "{told}");
    let nobody = [
        ("REDIS_USERNAME", "nobody"),
        ("REDIS_PASSWORD", "open-sesame"),
    ];
    assert_says(&line(&closed, "redis", &nobody), &["WRONGPASS"]);
    let open = beside(Redis::start_in_memory()).await;
    let told = line(&open, "redis", &[("REDIS_PASSWORD", "guess")]);
    assert_says(
        &told,
        &["without any password configured", "unset REDIS_PASSWORD"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_says_with_too_many_clients_is_told() {
    let cluster = beside(Redis::start_in_memory()).await;
    let mut only = cluster.redis.connection();
    let limit: String = redis::cmd("CONFIG")
        .arg(&["SET", "maxclients", "1"])
        .query(&mut only)
        .expect("an answer");
    assert_eq!(limit, "OK");
    // With a password the client library takes these words for those of a wrong one.
    for password in ["", "open-sesame"] {
        for _ in 0..3 {
            let told = line(&cluster, "redis", &[("REDIS_PASSWORD", password)]);
            assert_says(
                &told,
                &["max number of clients reached", "raise maxclients"],
            );
        }
    }
    let mut pod = cluster.pod("pod-1").set("REDIS_PASSWORD", "").start();
    eventually("it waits, and says why", || {
        pod.log().contains("max number of clients reached")
    });
    assert!(pod.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_says_while_it_loads_is_told() {
    let mut cluster = beside(Redis::start_in_memory()).await;
    let script = "for n = 1, 2000 do redis.call('SET', n, string.rep('x', 2000)) end";
    let _: redis::Value = cluster.redis.ask(&["EVAL", script, "0"]);
    let _: String = cluster.redis.ask(&["SAVE"]);
    cluster.redis.kill();
    // 20 ms for each key.
    let slowly = ["--key-load-delay", "20000"];
    let often = ["--loading-process-events-interval-bytes", "1024"];
    cluster.redis.begin_with(&[slowly, often].concat());
    eventually("it loads", || {
        let answer = cluster.redis.try_ask::<String>(&["PING"]);
        answer.is_err_and(|error| error.code() == Some("LOADING"))
    });
    let told = line(&cluster, "redis", &[]);
    assert_says(&told, &["LOADING", "wait until it has read its data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_says_in_protected_mode_is_told() {
    let cluster = beside(Redis::start_in_memory()).await;
    for password in ["", "open-sesame"] {
        let told = protected_mode(&cluster, password);
        assert_says(
            &told,
            &["DENIED", "protected mode", "give Redis a password"],
        );
        assert!(
            !told.contains("CONFIG SET"),
            "only its first sentences: {told}"
        );
    }
}

/// What `check` says of a Redis in protected mode. Such a Redis lets in whoever comes from a loopback address, and refuses others:
/// so both run in a network of their own that has another one, where the machine permits that. Elsewhere its words are played.
fn protected_mode(cluster: &Cluster, password: &str) -> String {
    let program = env!("CARGO_BIN_EXE_redis-consumer");
    let script = r#"
        ip link set lo up && ip address add 10.99.0.1/32 dev lo || exit 77
        "$SERVER" --bind 0.0.0.0 --port 6379 --protected-mode yes --save "" >/dev/null 2>&1 & server=$!
        until "$PROGRAM" check --json | grep -q DENIED || [ $((tries += 1)) -gt 50 ]; do sleep 0.1; done
        "$PROGRAM" check --json
        kill $server"#;
    let in_own_network = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", script])
        .env("PROGRAM", program)
        .env("SERVER", peers::redis::program())
        .envs([("REDIS_HOST", "10.99.0.1"), ("REDIS_PASSWORD", password)])
        .env("STORAGE_BUCKET", cluster.bucket_url())
        .output();
    if let Ok(output) = in_own_network
        && !output.stdout.is_empty()
    {
        return lines(&output, "redis").remove(0);
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(PROTECTED.as_bytes()));
        }
    });
    line(
        cluster,
        "redis",
        &[
            ("REDIS_PORT", &port.to_string()),
            ("REDIS_PASSWORD", password),
        ],
    )
}

/// The words of Redis 7.0, on one line.
const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for \
    the default user. In this mode connections are only accepted from the loopback interface. If you want to connect from external \
    computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET \
    protected-mode no' from the loopback interface by connecting to Redis from the same host the server is running.\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_says_to_a_user_without_rights_is_told_with_the_rule_that_is_missing() {
    let cluster = beside(Redis::start_in_memory()).await;
    let user = [
        "ACL",
        "SETUSER",
        "worker",
        "reset",
        "on",
        ">w0rk-pass",
        "~*",
        "+@all",
    ];
    let login = [
        ("REDIS_USERNAME", "worker"),
        ("REDIS_PASSWORD", "w0rk-pass"),
    ];
    let settings = [login.as_slice(), &[("QUEUE", "segmentation")]].concat();
    let told = |part: &str, rules: &[&str]| {
        let _: String = cluster.redis.ask(&[user.as_slice(), rules].concat());
        line(&cluster, part, &settings)
    };
    for rule in ["blmove", "hmset", "zcount", "script|load", "set"] {
        let text = told("rights", &[&format!("-{rule}")]);
        let missing = format!("ACL SETUSER worker +{rule}");
        assert_says(&text, &["wrong", "NOPERM", "to run the", &missing]);
        assert!(text.ends_with(&missing), "{text}");
    }
    let text = told("rights", &["-lpos", "-persist", "-llen"]);
    assert_says(&text, &["ACL SETUSER worker +llen +lpos +persist"]);
    assert_says(&told("queue", &["-llen"]), &["NOPERM", "llen"]);
    let all_but_leases = [
        "resetkeys",
        "~segmentation",
        "~segmentation:*",
        "~NuclearSegmentation:*",
    ];
    let text = told("rights", &all_but_leases);
    assert_says(
        &text,
        &[
            "NOPERM",
            "ACL SETUSER worker ~processing-segmentation:* ~rc:*:segmentation",
        ],
    );
    assert!(cluster.redis.keys("*").is_empty(), "nothing is left");
    // Without the cache of metadata it works.
    let rules = [
        "~processing-segmentation:*",
        "~rc:*:segmentation",
        "~rc:*:segmentation:*",
        "~rc:queues",
        "~rc:trash",
    ];
    let some = [user.as_slice(), &all_but_leases[..3], &rules].concat();
    let _: String = cluster.redis.ask(&some);
    let output = check(&cluster, &["--json"], &settings);
    let rights = lines(&output, "rights");
    assert_eq!(
        rights[0],
        "ok every command and every key of the queue may be used"
    );
    assert_says(
        &rights[1],
        &["warning", "~NuclearSegmentation:*", "without it"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_says_when_it_takes_no_writes_is_told() {
    let cluster = beside(Redis::start()).await;
    let set = |name: &str, value: &str| {
        let _: String = cluster.redis.ask(&["CONFIG", "SET", name, value]);
    };
    set("min-replicas-to-write", "1");
    assert_says(
        &line(&cluster, "writes", &[]),
        &["NOREPLICAS", "start a replica"],
    );
    set("min-replicas-to-write", "0");
    set("maxmemory", "1");
    assert_says(&line(&cluster, "writes", &[]), &["OOM", "raise maxmemory"]);
    set("maxmemory", "0");

    let replica = Replica::start(&cluster.redis);
    replica.catch_up(&cluster.redis);
    let port = replica.redis.port().to_string();
    let of_replica = [("REDIS_PORT", port.as_str())];
    let master = format!("(127.0.0.1:{})", cluster.redis.port());
    assert_says(
        &line(&cluster, "redis", &of_replica),
        &["takes no writes", &master],
    );
    assert_says(
        &line(&cluster, "writes", &of_replica),
        &["READONLY", "name its master"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_region_of_the_bucket_is_told() {
    let cluster = beside(Redis::start_in_memory()).await;
    let elsewhere = answer(
        "301 Moved Permanently",
        "x-amz-bucket-region: eu-central-1\r\n",
        "",
    );
    let s3 = ScriptedHttp::start(vec![elsewhere]).await;
    let of_bucket = S3Server::start().environment();
    let mut settings: Vec<_> = of_bucket
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    settings.extend([
        ("AWS_ENDPOINT_URL", s3.endpoint.as_str()),
        ("AWS_REGION", "us-west-2"),
    ]);
    let told = line(&cluster, "bucket", &settings);
    assert_says(
        &told,
        &[
            "wrong writing",
            "in the region eu-central-1, but AWS_REGION is us-west-2",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_told_by_its_scripts() {
    let cluster = beside(Redis::start_cluster()).await;
    let output = check(&cluster, &["--json"], &[("QUEUE", "segmentation")]);
    let scripts = lines(&output, "scripts").join("\n");
    assert!(
        scripts.starts_with("wrong") && scripts.contains("QUEUE={segmentation}"),
        "{scripts}"
    );
    let output = check(&cluster, &["--json"], &[("QUEUE", "{segmentation}")]);
    assert_eq!(lines(&output, "scripts"), ["ok may be run"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_triton_takes_and_cannot_have_is_said() {
    let cluster = cluster().await;
    let models = vec![
        peers::exact_models::model("nuclear", "NuclearSegmentation:6", [64, 64]),
        peers::exact_models::model("cytoplasm", "CytoplasmSegmentation:5", [64, 64]),
        peers::exact_models::model("cytoplasm", "PhaseCytoSegmentation:3", [64, 64]),
    ];
    let server = ModelServer::start_open_inference(0, models).await;
    let server = server.expect("a free port");
    server.faults().limit(ServerLimit::TritonRows(4));
    let port = server.address().port().to_string();
    let variables = [("MODEL_SERVER", "oip"), ("TF_PORT", port.as_str())];
    let output = check(&cluster, &["--json"], &variables);
    let nuclear = lines(&output, "model NuclearSegmentation");
    assert_eq!(
        nuclear,
        ["ok takes image [-1, 64, 64, 1]; at most 4 at once, as the server says"]
    );
    let phase = lines(&output, "model PhaseCytoSegmentation");
    assert!(phase[0].ends_with("the newest is used"), "{phase:?}");
}
