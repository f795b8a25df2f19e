//! What services print.

use sandboxer_extension::{ErrorKind, ExecExit, Follow, LogsRequest};

use crate::bench::{Bench, failed};
use crate::ensure;
use crate::trial::{Outcome, Stop, trials};

trials! {
    logs_are_shown ["logs"],
    logs_are_unsupported ["!logs"],
}

fn request() -> Result<LogsRequest, Stop> {
    let nowhere =
        || std::fs::File::create("/dev/null").map_err(|error| Stop::Failed(format!("cannot open /dev/null: {error}")));
    Ok(LogsRequest {
        service: None,
        tail: 10,
        follow: Follow::No,
        output: [nowhere()?.into(), nowhere()?.into()],
    })
}

async fn logs_are_shown(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    let logs = bench.extension().logs(&bench.call(1), &target, request()?).await;
    let exit = logs.map_err(failed("logs"))?.wait().await.map_err(failed("wait"))?;
    ensure!(exit == ExecExit::Code(0), "showing what there is came to {exit:?}");
    Ok(())
}

async fn logs_are_unsupported(bench: &Bench<'_>) -> Outcome {
    let (target, _) = bench.up(&bench.request()).await?;
    match bench.extension().logs(&bench.call(1), &target, request()?).await {
        Err(error) if error.kind == ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(Stop::Failed(format!("logs without the capability: {error}"))),
        Ok(_) => Err(Stop::Failed("logs came without the capability".to_owned())),
    }
}
