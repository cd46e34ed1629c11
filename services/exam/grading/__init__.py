"""From a journal to a score, without I/O: the same journal always scores the same."""

from services.exam.grading.grade import grade
from services.exam.grading.rubric import Rubric
from services.exam.grading.score import Score

__all__ = ["Rubric", "Score", "grade"]
