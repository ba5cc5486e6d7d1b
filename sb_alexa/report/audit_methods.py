"""Section of a page: how an audit was done, and what its figures do not say."""

from __future__ import annotations

from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS
from sb_alexa.report.audit_results import AuditResult

_REFERENCES = """<p class="soft">References. Bisani and Ney, Bootstrap estimates for confidence
intervals in ASR performance evaluation, ICASSP 2004. Hall, On symmetric bootstrap confidence
intervals, Journal of the Royal Statistical Society B 50(1), 1988. Holm, A simple sequentially
rejective multiple test procedure, Scandinavian Journal of Statistics 6(2), 1979. Mancl and DeRouen,
A covariance estimator for GEE with improved small-sample properties, Biometrics 57(1), 2001. Liang
and Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73(1), 1986. Chung
and Romano, Exact and asymptotically robust permutation tests, Annals of Statistics 41(2), 2013.
Trinh et al., Reducing geographic disparities in automatic speech recognition via elastic weight
consolidation, Interspeech 2022 (arXiv 2207.07850), for regions of a map. Dheram et al., Toward
fairness in speech recognition: discovery and mitigation of performance disparities, Interspeech
2022 (arXiv 2207.11345), for cohorts of ZIP codes and of voices and for the relative gap.</p>"""


def methods_section(result: AuditResult) -> str:
    """Render definitions, methods and references, of what is on the page only.

    Arguments
    ---------
    result : AuditResult
        Whose settings are told.

    Returns
    -------
    html : str
        Heading and paragraphs.
    """
    paragraphs = [_rates(), _intervals(result), _tests(result)]
    if result.regression is not None:
        paragraphs.append(
            "The adjusted ratios are of a Poisson regression of the errors on all declared columns "
            "at once, with the logarithm of the words as offset and errors clustered by speaker "
            "(generalised estimating equations, bias-reduced sandwich covariance, Student's t)."
        )
    is_found = any(column.is_found for column in result.columns)
    if is_found or result.tree is not None or result.partition or result.voices:
        paragraphs.append(_discovery(result))
    if result.comparisons:
        paragraphs.append(
            "Two systems are compared on the same draws of speakers. The worst group of each is "
            "the one that is worst as measured, in all draws; the interval of a difference of "
            "worst groups does not allow for that choice."
        )
    paragraphs.append(
        "Groups are labels in a table: who assigned them, and whom they leave out, bears on every "
        "figure here. A gap says that a group is recognised worse, not why; recordings, rooms and "
        "what is said differ between groups too. Groups with few speakers are no less important, "
        "merely less well measured."
    )
    told = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return f"""<section class="methods"><h2 id="methods">How this was measured</h2>
{told}
{_REFERENCES}</section>"""


def _rates() -> str:
    return (
        "The word error rate (WER) of a group is the number of substitutions, deletions and "
        "insertions in all its utterances over the number of reference words in them; it can "
        "exceed 100&nbsp;%. It is not the mean of the rates of utterances, in which short ones "
        f"would count too much. Groups need {FEWEST_SPEAKERS} speakers to be ranked. The gap is "
        "the WER of the worst minus that of the best ranked group; relative to the best group's, "
        "it says how many more errors the worst group meets."
    )


def _intervals(result: AuditResult) -> str:
    settings = result.settings
    return (
        f"Intervals cover {100 * settings.level:g}&nbsp;%, from {settings.num_samples:,} bootstrap "
        f"draws (seed {settings.seed}) of whole speakers with replacement, as errors of one "
        "speaker go together (Bisani and Ney 2004). They are symmetric and studentised (Hall "
        "1988), those of rates and ratios on the logarithmic scale. The interval of a gap allows "
        "for the choice of the two extremes among all ranked groups. Intervals tell how rates "
        "would vary with other speakers like these, not with other recordings or populations."
    )


def _tests(result: AuditResult) -> str:
    return (
        "Each group is tested against all other speakers of its column with errors clustered by "
        "speaker (Mancl and DeRouen 2001; of two robust tests the larger p-value). Holm's "
        "correction (1979) keeps the probability of any false finding among all groups of all "
        f"columns below {100 * (1 - result.settings.level):g}&nbsp;%."
    )


def _discovery(result: AuditResult) -> str:
    kinds = [
        name
        for name, found in (
            ("regions of the map", result.tree),
            ("cohorts of ZIP codes", result.partition),
            ("clusters of voices", result.voices),
        )
        if found is not None
    ]
    named = f" ({', '.join(kinds)})" if kinds else ""
    return (
        f"Cohorts that were looked for{named} were found on one half of the speakers and measured "
        "on the other. On the half that chose them gaps tend to be too large, the winner's curse. "
        "Gaps between held-out cohorts have intervals from Student's t with errors clustered by "
        "speaker and one-sided p-values from permutations of speakers (Chung and Romano 2013). "
        "The ideas are of Trinh et al. and Dheram et al. (2022), whose full texts were not "
        "available to us; the two halves, the rules and the corrections are ours."
    )
