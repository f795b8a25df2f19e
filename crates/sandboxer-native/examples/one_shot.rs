//! Makes a sandbox, runs `true` in it, removes it; prints where the time goes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs, reason = "an example")]
use sandboxer_native::runtime::*;
use sandboxer_native::spec::*;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

fn main() {
    if let Some(code) = sandboxer_native::internal_entry() {
        std::process::exit(code);
    }
    let root = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let rounds: u32 = std::env::args().nth(2).map_or(1, |n| n.parse().unwrap());
    let repo = std::env::args().nth(3).filter(|s| !s.is_empty()).map(Into::into);
    let argv: Vec<Vec<u8>> = std::env::args().skip(4).map(String::into_bytes).collect();
    let runtime = Runtime::new(&root);
    let mut all = Vec::new();
    for n in 0..rounds {
        let t = Instant::now();
        let spare = if std::env::var_os("EXEC").is_some() {
            runtime.spare()
        } else {
            sandboxer_native::Spare::fork()
        }
        .unwrap();
        let t1 = t.elapsed();
        let spec = LaunchSpec {
            id: format!("sbx-try{n}"),
            installation: "inst-x".into(),
            epoch: 1,
            root: root.clone(),
            ttl_secs: 60,
            limits: Limits {
                cpu: None,
                memory_mb: Some(256),
                disk_mb: Some(64),
                pids: Some(64),
            },
            strict: false,
            workspace: Workspace {
                source: repo.clone(),
                access: Access::Rw,
            },
        };
        let launch = runtime.launch(&spec, Some(spare)).unwrap_or_else(|e| panic!("{e:?}"));
        let t2 = t.elapsed();
        let (i, o, e) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let mut run = runtime
            .exec(
                &spec.id,
                Command {
                    argv: if argv.is_empty() {
                        vec![b"true".to_vec()]
                    } else {
                        argv.clone()
                    },
                    env: vec![],
                    cwd: None,
                    io: CommandIo::Pipes([i.as_fd(), o.as_fd(), e.as_fd()]),
                },
            )
            .unwrap();
        let exit = run.wait();
        let t3 = t.elapsed();
        let (report, usage) = runtime
            .destroy(&spec.id, 1, launch.keeper, Duration::from_secs(10))
            .unwrap();
        let t4 = t.elapsed();
        if rounds == 1 {
            eprintln!(
                "{exit:?}\n{:#?}\n{:#?}\n{report:#?}\n{usage:?}",
                launch.launched,
                runtime.observe(&spec.id)
            );
        }
        all.push([t1, t2 - t1, t3 - t2, t4 - t3, t4]);
    }
    for (k, name) in ["spare", "launch", "exec", "destroy", "all"].iter().enumerate() {
        let mut v: Vec<_> = all.iter().map(|a| a[k]).collect();
        v.sort();
        eprintln!("{name} p50 {:?} p90 {:?}", v[v.len() / 2], v[v.len() * 9 / 10]);
    }
}
