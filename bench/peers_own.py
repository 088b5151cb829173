"""Our own send with the peers' faults: real worker, scheduler and intake of events, the worker killed or an answer lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bench.field import Unlimited
from bench.peers_field import Trial, judged, still_sending
from bench.send import BODY, RULE, bench_settings
from mailer.core.message import UNSUBSCRIBE_URL
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.sending.send_status import SendStatus, list_send_statuses
from mailer.workers.actors import WakeUps
from tests import factories, processes
from tests.fakes.ses import FakeSes

LEASE = timedelta(seconds=10)  # after which what a dead worker had claimed is uncertain


def trial(subscribers: int, connections: int, latency: float, fault: str) -> Trial:
    """One send to ``subscribers``. ``fault``: "lost" loses the response to an email, "kill" is a kill -9 and a new worker."""
    with bench_settings(connections) as (conf, database), FakeSes() as ses:
        conf = replace(conf, claim_lease=LEASE)
        ses.control(latency_s=latency, events={"late_s": 0.5})
        environ = {**ses.environ, "POSTMERGE_SQS_QUEUE_URL": ses.queue_url}
        factories.add_subscribers(database, subscribers, ("python",))
        adopt_issues(database, conf, [factories.old()])
        html = f'<html lang="en"><body>{BODY}<a href="{UNSUBSCRIBE_URL}">Leave</a></body></html>'
        issue = factories.edition(body=BODY, html=html, audience=RULE)

        def status() -> SendStatus:
            return list_send_statuses(database)[0]

        with processes.running("scheduler", conf, environ), processes.running("events", conf, environ):
            worker = processes.start("worker", conf, environ)
            try:
                wanted = Request(allow=("unknown-tag",))
                [send_id] = publish(database, conf, [factories.old(), issue], [], Unlimited(), wanted).send_ids
                WakeUps(conf.redis_url).enqueue_send(send_id)
                processes.eventually(lambda: ses.stats()["accepted"] >= subscribers // 4, 120, "the worker sends")
                if fault == "lost":
                    ses.control(faults=[{"kind": "reset_after", "next": 1}])
                else:
                    processes.kill(worker)
                    still_sending(ses, subscribers)
                    worker = processes.start("worker", conf, environ)
                processes.eventually(lambda: status().send.state == "finished", 120 + subscribers / 100, "the send finishes")
                processes.eventually(lambda: not status().deliveries["accepted"], 60, "SES's events are recorded")
            finally:
                processes.stop(worker)
        said = status().deliveries
        record = ", ".join(f"{said[name]:,} {_WORDS.get(name, name)}" for name in sorted(said) if said[name])
        return judged(ses, subscribers, 0.0, 0.0, True, record)


_WORDS = {"uncertain": "named as uncertain", "delivered": "delivered, by SES's events"}
