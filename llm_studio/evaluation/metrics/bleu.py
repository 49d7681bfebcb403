"""How many word groups the generated answers share with the right ones."""

from collections.abc import Sequence

from sacrebleu.metrics import BLEU

from llm_studio.evaluation.types import Prediction, Score


def bleu(predictions: Sequence[Prediction]) -> Score:
    """sacrebleu's corpus score in [0, 100] with its signature; per row its sentence score with effective order.

    Source: Papineni et al. 2002, doi:10.3115/1073083.1073135; Post 2018, arXiv:1804.08771.
    """
    made = [(one.output, one.target) for one in predictions if one.output is not None]
    if not made:
        return Score(None, per_row=(None,) * len(predictions))
    corpus = BLEU()
    score = corpus.corpus_score([output for output, _ in made], [[target for _, target in made]])
    sentence = BLEU(effective_order=True)
    per_row = tuple(
        None if one.output is None else float(sentence.sentence_score(one.output, [one.target]).score)
        for one in predictions
    )
    return Score(float(score.score), signature=str(corpus.get_signature()), per_row=per_row)
