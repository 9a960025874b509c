//! What commands may touch: their own folder, and where their results go.

use super::{cluster, end, exec, shell, submit};

#[tokio::test(flavor = "multi_thread")]
async fn outputs_go_to_the_keys_that_the_job_expects_and_nowhere_else() {
    let cluster = cluster().await;
    let script = r#"
        mkdir -p "$RC_OUTPUT/s1/crops"
        echo '{}' > "$RC_OUTPUT/s1/s1.json"
        echo a > "$RC_OUTPUT/s1/crops/a.tif"; echo b > "$RC_OUTPUT/s1/crops/b.tif"
        eval "$RC_FIELD_DO"
    "#;
    let _pod = shell(&cluster, script).set("EXEC_RESULT", "keys").start();
    let expect = "farm/s1/crops/\nfarm/s1/s1.json";
    let submit = |what: &str, expect: &str| {
        cluster.submit("uploads/a b.txt", &[("do", what), ("rc_expect", expect)])
    };
    let hash = cluster.wait_done(&submit("", expect));
    assert_eq!(hash["output_file_name"], "farm/s1/s1.json");
    assert_eq!(cluster.object("farm/s1/crops/b.tif"), b"b\n");
    assert_eq!(cluster.object("farm/s1/s1.json"), b"{}\n");
    for (what, expect, why) in [
        ("touch $RC_OUTPUT/extra", expect, "`extra`"),
        ("rm $RC_OUTPUT/s1/s1.json", expect, "`farm/s1/s1.json`"),
        ("", "", "rc_expect"),
        ("", "farm/s1/crops/\n../../s1.json", "s1.json"),
    ] {
        let hash = cluster.wait(&submit(what, expect));
        let (status, _, reason) = end(&hash);
        assert_eq!(status, "failed", "{why}");
        assert!(reason.contains(why), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_fenced_in_writes_to_its_own_folder_only() {
    let cluster = cluster().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let outside = elsewhere.path().display();
    let script = format!(
        r#"
        echo inside > "$RC_OUTPUT/x"; echo more > "$TMPDIR/y"; echo thrown away > /dev/null
        (echo outside > {outside}/z) 2>> "$RC_OUTPUT/errors"
        (cat /proc/$(cut -d ' ' -f 4 /proc/$$/stat)/environ) 2>> "$RC_OUTPUT/errors" >> "$RC_OUTPUT/x"
        python3 -c 'print(sum(range(10)))' >> "$RC_OUTPUT/x"
    "#
    );
    for fenced in ["true", "false"] {
        let pod = shell(&cluster, &script).set("EXEC_SANDBOX", fenced).start();
        let result = cluster.result(&cluster.wait_done(&submit(&cluster, "")));
        let text = |name: &str| {
            let found = result.iter().find(|(other, _)| other == name);
            found.map_or_else(String::new, |(_, bytes)| {
                String::from_utf8_lossy(bytes).into_owned()
            })
        };
        let is_fenced = fenced == "true";
        // A kernel without Landlock says so at the start.
        if is_fenced && pod.log().contains("knows no Landlock") {
            eprintln!("this kernel knows no Landlock: not tried");
            return;
        }
        assert_eq!(elsewhere.path().join("z").exists(), !is_fenced);
        assert!(!text("x").contains("REDIS_HOST"), "{}", text("x"));
        assert!(text("x").contains("inside\n") && text("x").contains("45"));
        let refused = text("errors").matches("ermission denied").count();
        assert_eq!(refused, if is_fenced { 2 } else { 1 }, "{}", text("errors"));
        drop(pod);
        let _ = std::fs::remove_file(elsewhere.path().join("z"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persistent_command_can_be_fenced_in_too() {
    let cluster = cluster().await;
    let (_folder, command) = super::results::script(super::results::BRIGHT);
    let _pod = exec(&cluster, &command)
        .set("EXEC_MODE", "persistent")
        .set("EXEC_SANDBOX", "true")
        .start();
    for _ in 0..3 {
        cluster.wait_done(&submit(&cluster, ""));
    }
}
