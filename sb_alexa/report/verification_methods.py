"""Section of a page: how verification was measured, and what the figures do not say."""

from __future__ import annotations

from sb_alexa.metrics.verification_groups import FEWEST_SPEAKERS
from sb_alexa.report.verification_results import VerificationResult


def methods_section(result: VerificationResult) -> str:
    """Render definitions, method and references.

    Arguments
    ---------
    result : VerificationResult
        Whose settings are told.

    Returns
    -------
    html : str
        Heading and paragraphs.
    """
    settings = result.settings
    resampled = (
        f"""<p>Intervals cover {100 * settings.level:g} %, from {settings.num_samples:,} bootstrap
draws (seed {settings.seed}) of speakers with replacement: a target trial counts as often as its
speaker was drawn, a non-target trial as often as the one was times as often as the other (Poh and
Bengio 2007; Owen 2007). They tell how rates would vary with other speakers like these, not with
other recordings, rooms or populations, and are too narrow where a group has few speakers.</p>"""
        if result.num_speakers
        else "<p>Without speakers nothing can be resampled, so there are no intervals.</p>"
    )
    return f"""<section class="methods"><h2>How this was measured</h2>
<p>A trial asks whether two recordings have the same speaker. The false match rate (FMR) is the
share of non-target trials at or above the threshold, the false non-match rate (FNMR) the share of
target trials below it. The equal error rate (EER) is where both are equal, interpolated linearly
between neighbouring thresholds. The detection cost weighs FNMR with the target prior
{settings.target_prior:g} and cost {settings.miss_cost:g}, FMR with the rest and cost
{settings.false_alarm_cost:g}, divided by the cheaper of the two answers that need no recording
(NIST 2016). C<sub>llr</sub> needs a calibration on development trials (Brümmer and du Preez
2006).</p>
<p>A trial belongs to a group if both of its speakers do; trials between groups are counted apart.
Within a group strangers are usually more alike than across groups, so the EER over all trials can
lie below that of every group. Two kinds of error are shown because they answer two questions:
EER, how well the speakers of a group can be told apart at best; FMR and FNMR at one threshold, what
users of a deployed system meet.</p>
<p>Gap is the highest minus the lowest rate of the groups, std their population standard deviation
with equal weights. Groups need {FEWEST_SPEAKERS} speakers to be ranked. The interval of a gap keeps
the two groups that are highest and lowest as measured; of many groups, some two lie apart by
chance, so an interval without 0 is a reason to look closer and no proof. The interval of std lies
too high where groups hardly differ.</p>
{resampled}
<p>Groups are labels in a table: who assigned them, and whom they leave out, bears on every figure
here. Corpora of synthetic voices say nothing about people.</p>
<p class="soft">References. Martin et al., The DET curve in assessment of detection task
performance, Eurospeech 1997. NIST, 2016 speaker recognition evaluation plan. Brümmer and du Preez,
Application-independent evaluation of speaker detection, Computer Speech and Language 2006. Poh and
Bengio, Estimating the confidence interval of expected performance curve in biometric authentication
using joint bootstrap, ICASSP 2007. Owen, The pigeonhole bootstrap, Annals of Applied Statistics
2007 (arXiv 0712.1111). Jin et al., Adversarial reweighting for speaker verification fairness,
Interspeech 2022 (arXiv 2207.07776), for the gap and std by gender and nationality.</p></section>"""
