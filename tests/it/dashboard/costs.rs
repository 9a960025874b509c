//! What pages cost of a Redis with a million waiting jobs and ten thousand failed ones: round trips, commands, memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::lab::Lab;
use crate::peers::browser::{Browser, Dashboard};
use crate::peers::proxy::Proxy;
use crate::peers::redis::Redis;

/// Pages that look at more than they show: at the last 1,000 failures, and at the next 500 waiting jobs of each queue.
const LOOK_FURTHER: [&str; 3] = ["failed", "search", "search-none"];

/// Queues and their jobs beside those of the laboratory. Jobs that are looked at have hashes.
fn fill(redis: &Redis) {
    let script = "
        local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])
        local jobs = {}
        for i = from, to do jobs[#jobs + 1] = 'segmentation:plate/' .. i .. '.tif:' .. i end
        redis.call('LPUSH', 'segmentation', unpack(jobs))
        for i = from, math.min(to, 10000) do
            local name = 'uploads/plate/' .. i .. '.tif'
            redis.call('HSET', jobs[i - from + 1], 'status', 'new', 'input_file_name', name, 'created_at', ARGV[3])
            local job = 'segmentation:broken/' .. i .. '.tif:' .. i
            redis.call('HSET', job, 'status', 'failed', 'input_file_name', name, 'created_at', ARGV[3],
                'updated_at', ARGV[3], 'finished_at', ARGV[3], 'error_class', 'invalid_input',
                'reason', 'while started\\nInvalidInput: ' .. name .. ' has ' .. i % 7 .. ' channels')
            redis.call('ZADD', 'rc:failed:segmentation', 1790000000000 + i, job)
        end";
    let mut pipeline = redis::pipe();
    for from in (1..=1_000_000).step_by(5000) {
        let time = "2026-09-21T10:00:00.000Z";
        pipeline.cmd("EVAL").arg(script).arg(0);
        pipeline.arg(from).arg(from + 4999).arg(time).ignore();
    }
    redis.try_pipeline(&pipeline).expect("it takes them");
    assert!(redis.ask::<u64>(&["LLEN", "segmentation"]) >= 1_000_000);
    assert!(redis.ask::<u64>(&["ZCARD", "rc:failed:segmentation"]) >= 10_000);
}

/// The memory that a process holds.
fn resident_kib(dashboard: &Dashboard) -> u64 {
    let status = format!("/proc/{}/status", dashboard.pod.id());
    let status = std::fs::read_to_string(status).expect("it runs");
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let number = line.and_then(|it| it.trim().strip_suffix(" kB"));
    number.and_then(|it| it.parse().ok()).expect("a number")
}

fn look(browser: &Browser, (name, path): (&str, &str)) {
    let answer = browser.get(path);
    let wanted = if name == "fault" { 404 } else { 200 };
    assert_eq!(answer.status, wanted, "{name}: {}", answer.body);
    assert!(answer.body.contains("<h1>"), "{name}: {}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_million_jobs_cost_little() {
    let lab = Lab::open().await;
    let redis = &lab.cluster.redis;
    fill(redis);
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port()));
    let proxy = Proxy::start(server).await;
    let port = proxy.port.to_string();
    let dashboard = Dashboard::start(&lab.cluster, &[("REDIS_PORT", &port)]);
    let browser = dashboard.browser();
    let scenes = lab.scenes();
    let pages = scenes
        .iter()
        .filter_map(|scene| Some((scene.name, scene.path_at(&lab.dashboard)?)));
    let pages: Vec<_> = pages.collect();

    assert_memory_is_flat(&dashboard, &pages);
    // What is sent at once may arrive in several pieces.
    proxy.delay(Duration::from_millis(10));
    for page in pages {
        let most = match page.0 {
            // Its stages, its items, and the results of some are looked for one after the other.
            "batch" => 12,
            // Three in a row, and two beside them that may come out of step, which counts once more.
            name if name.starts_with("queue") && name != "queues" => 4,
            _ => 3,
        };
        // Where a machine is busy, what is asked side by side is answered one by one now and then.
        let mut visits = (0..5).map(|_| cost(redis, &proxy, || look(&browser, page)));
        let cost = visits.find(|(trips, _)| *trips <= most);
        let (trips, commands) = cost.unwrap_or_else(|| panic!("{}: too many round trips", page.0));
        println!("{}: {trips} round trips, {commands} commands", page.0);
        let most = if LOOK_FURTHER.contains(&page.0) {
            2000
        } else {
            200
        };
        assert!(commands <= most, "{}: {commands} commands", page.0);
    }
}

/// Holds a dashboard to what it has after a hundred visits.
fn assert_memory_is_flat(dashboard: &Dashboard, pages: &[(&str, &str)]) {
    let browser = dashboard.browser();
    let visit = |visits: usize| {
        let pages = pages.iter().cycle().take(visits);
        pages.for_each(|&page| look(&browser, page));
        resident_kib(dashboard)
    };
    let began = Instant::now();
    let (warm, then) = (visit(100), visit(200));
    let took = began.elapsed() / 300;
    println!("{warm} KiB after 100 visits, {then} KiB after 300; a visit took {took:?}");
    assert!(then < warm + 4096, "{warm} KiB, then {then} KiB");
}

/// Round trips and commands of a visit.
fn cost(redis: &Redis, proxy: &Proxy, visit: impl FnOnce()) -> (u64, usize) {
    let monitor = redis.monitor();
    let before = proxy.trips();
    visit();
    let trips = proxy.trips() - before;
    let lines = monitor.lines(redis);
    let commands = lines.iter().filter(|it| !it.contains(" lua]"));
    (trips, commands.count())
}
