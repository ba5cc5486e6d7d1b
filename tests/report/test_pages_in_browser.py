"""Every page that the package writes, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sb_alexa.demo.page import render_page
from sb_alexa.metrics.verification_bootstrap import DrawSettings
from sb_alexa.report.audit_page import audit_page
from sb_alexa.report.decision import Decision
from sb_alexa.report.verification_measurement import measure_verification
from sb_alexa.report.verification_page import verification_page
from tests.demo import fake_run
from tests.report.audit_examples import Speakers, audit_example
from tests.report.browser import Browser
from tests.scored_speakers import group_of, scored_trials

_CHARTS = """[...document.querySelectorAll("svg")].map(one => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && one.querySelector("*") !== null;
})"""


@dataclass(frozen=True)
class WrittenPage:
    """A page, and what its elements (CSS selectors) must show."""

    html: str
    shows: dict[str, str]


def audit(folder: Path) -> WrittenPage:
    """Everything that an audit may find, three systems, names with markup and a long one."""
    speakers = Speakers()
    systems = {"tuned": speakers.errors_of(0.95, 0.9), "<b>EWC</b>": speakers.errors_of(0.96, 0.8)}
    long_name = "a column of a name that was made by somebody who had no page in mind"
    columns = {**speakers.declared, long_name: speakers.accent}
    notes = tuple(f"Note {number} on {long_name}." for number in range(6))
    result = audit_example(speakers, columns=columns, systems=systems, notes=notes)
    html = audit_page(result, synthetic=True, command="sb-alexa audit <table>")
    wer = f"{result.overall.wer.value:.2f} %"
    return WrittenPage(html, {"h1": f"<b>EWC</b>: {wer} word error rate", "dl dt": wer})


def audit_of_few_speakers(folder: Path) -> WrittenPage:
    """Nothing was looked for, nothing is compared, hardly a group can be ranked."""
    speakers = Speakers(12)
    columns = {"accent": speakers.accent}
    result = audit_example(speakers, columns=columns, with_discovery=False)
    wer = f"{result.overall.wer.value:.2f} %"
    return WrittenPage(audit_page(result), {"dl dt": wer})


def audit_without_columns(folder: Path) -> WrittenPage:
    """A total and nothing else."""
    result = audit_example(Speakers(40), columns={}, with_discovery=False)
    wer = f"{result.overall.wer.value:.2f} %"
    return WrittenPage(audit_page(result), {"dl dt": wer})


def verification(folder: Path) -> WrittenPage:
    """Two columns, groups too small to rank, a comparison, names with markup."""
    trials = scored_trials("<i>mine</i>")
    decision = Decision.fitted_on(scored_trials("dev", seed=5), target_prior=0.1)
    columns = {
        "letter": {one: group_of(one) for one in trials.speakers},
        "<pair> of & names": {one: f"g{int(one[1:]) // 2:02d}" for one in trials.speakers},
    }
    result = measure_verification(
        trials, decision, columns=columns, settings=DrawSettings(num_samples=60),
        base=(scored_trials("theirs", worse_by=1.0), decision),
    )  # fmt: skip
    html = verification_page(result, synthetic=True, command="sb-alexa verify <trials>")
    eer = f"{result.eer.value:.2f} %"
    return WrittenPage(html, {"h1": f"<i>mine</i>: {eer} equal error rate", "dl dt": eer})


def verification_of_bare_scores(folder: Path) -> WrittenPage:
    """No columns, no comparison, a threshold of its own."""
    trials = scored_trials()
    settings = DrawSettings(num_samples=60)
    result = measure_verification(trials, Decision.of_these(trials), settings=settings)
    return WrittenPage(verification_page(result), {"dl dt": f"{result.eer.value:.2f} %"})


def demo(folder: Path) -> WrittenPage:
    """Learning, accents, live transcript, errors."""
    report = fake_run.report(folder / "run")
    transcript = report.longest_live
    assert transcript is not None
    html = render_page(report, fake_run.samples_of(transcript))
    wer = f"{report.results.overall.wer:.1f}"
    return WrittenPage(html, {"dl dt": f"{wer} %", "tr.total td:nth-child(4)": wer})


def demo_without_live(folder: Path) -> WrittenPage:
    """The recogniser was not run live, and the run logged nothing."""
    report = replace(fake_run.report(folder / "run"), live=())
    report = replace(report, results=replace(report.results, events=()))
    return WrittenPage(render_page(report), {"dl dt": f"{report.results.overall.wer:.1f} %"})


PAGES: tuple[Callable[[Path], WrittenPage], ...] = (
    audit,
    audit_of_few_speakers,
    audit_without_columns,
    verification,
    verification_of_bare_scores,
    demo,
    demo_without_live,
)


@pytest.mark.parametrize("write", PAGES, ids=lambda write: write.__name__)
def test_page_in_a_browser(
    browser: Browser, tmp_path: Path, write: Callable[[Path], WrittenPage]
) -> None:
    """No complaint, no request, no overflow; figures are where they are looked for."""
    written = write(tmp_path)
    path = tmp_path / "index.html"
    path.write_text(written.html, encoding="utf-8")
    with browser.page(path) as page:
        assert page.problems() == []
        assert {selector: page.text(selector) for selector in written.shows} == written.shows
        drawn = page.evaluate(_CHARTS)
        assert all(drawn), "each chart has a size and something in it"
        assert drawn
