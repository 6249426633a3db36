"""The table of proved formats says no more than the tests did."""

from formats_table import Row, table


def test_a_result_of_all_programs_is_one_row_and_that_of_some_names_them() -> None:
    rows = [
        Row("Rates", "24 to 60", "ffprobe", "60/1", "5.1"),
        Row("Rates", "24 to 60", "ffprobe", "60/1", "9.0"),
        Row("Rates", "a | b", "ffprobe", "1 tick", "9.0"),
        Row("Colour", "gray", "psnr", "equal", ""),
    ]
    text = table(rows)
    assert "| 24 to 60 | ffprobe | 60/1 |\n" in text
    assert "| a \\| b | ffprobe | 1 tick (9.0) |\n" in text
    assert "| gray | psnr | equal |\n" in text
    assert text.index("## Colour") < text.index("## Rates")
