"""A leaderboard in each format, as `kebench leaderboard` prints it."""

from kebench.report.board import board_sheets
from kebench.report.costs import Asked
from kebench.report.export import NO_COSTS, board_content, board_fields, board_rows
from kebench.report.table import Leaderboard
from kebench.report.write_csv import rows_as_csv
from kebench.report.write_json import as_json
from kebench.report.write_latex import sheets_as_latex
from kebench.report.write_markdown import sheets_as_markdown
from kebench.report.write_terminal import sheets_for_terminal


def render_terminal(board: Leaderboard, *, width: int, is_styled: bool) -> str:
    return sheets_for_terminal(board_sheets(board), width=width, is_styled=is_styled)


def render_markdown(board: Leaderboard) -> str:
    return sheets_as_markdown(board_sheets(board))


def render_latex(board: Leaderboard) -> str:
    return sheets_as_latex(board_sheets(board))


def render_csv(board: Leaderboard, asked: Asked = NO_COSTS) -> str:
    return rows_as_csv(board_fields(asked), board_rows(board, asked))


def render_json(board: Leaderboard, asked: Asked = NO_COSTS) -> str:
    return as_json(board_content(board, asked))
