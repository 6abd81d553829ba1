import json

import numpy as np
import pytest

from stylegan_jax.alignment.landmarks import LandmarkError, key_points, read_landmarks


def face(kind=68):
    """Landmarks with eyes at (100, 120) and (160, 118), and a mouth below.

    The eyes' outlines are circles; all other points are far off.
    """
    points = np.full((kind, 2), -999.0)
    circle = [(4 * np.cos(a), 4 * np.sin(a)) for a in np.arange(6) * np.pi / 3]
    indices = {
        68: (range(36, 42), range(42, 48), 48, 54),
        5: ([0], [1], 3, 4),
        4: ([0], [1], 2, 3),
        478: ((33, 133, 144, 153, 158, 160), (263, 362, 373, 380, 385, 387), 61, 291),
    }[kind]
    for where, centre in zip(indices[:2], [(100, 120), (160, 118)], strict=True):
        around = circle if len(where) == 6 else [(0, 0)]
        points[list(where)] = np.add(centre, around)
    points[indices[2]], points[indices[3]] = (110, 180), (155, 182)
    return points


@pytest.mark.parametrize("kind", [4, 5, 68, 478])
def test_each_layout_gives_the_same_four_points(kind):
    expected = [(100, 120), (160, 118), (110, 180), (155, 182)]
    np.testing.assert_allclose(key_points(face(kind)), expected, atol=1e-9)


def test_landmarks_that_are_no_face_are_refused():
    with pytest.raises(LandmarkError, match=r"\(67, 2\)"):
        key_points(np.zeros((67, 2)))
    with pytest.raises(LandmarkError, match="not finite"):
        key_points(np.full((68, 2), np.nan))
    with pytest.raises(LandmarkError, match="coincide"):
        key_points(np.ones((68, 2)))
    with pytest.raises(LandmarkError, match="interchanged"):
        key_points(face(5)[[1, 0, 2, 4, 3]])


def test_files_of_every_kind_say_the_same(tmp_path):
    one, two = face(), face() + 50
    np.save(tmp_path / "a.npy", np.stack([one, two]))
    (tmp_path / "b.json").write_text(json.dumps([one.tolist(), two.tolist()]))
    for name in ("a.npy", "b.json"):
        np.testing.assert_allclose(read_landmarks(tmp_path / name), [one, two])
    np.savetxt(tmp_path / "c.txt", one, header="x y")
    np.savetxt(tmp_path / "d.csv", one, delimiter=", ")
    (tmp_path / "e.json").write_text(json.dumps({"face_landmarks": one.tolist()}))
    for name in ("c.txt", "d.csv", "e.json"):
        np.testing.assert_allclose(read_landmarks(tmp_path / name), [one])


@pytest.mark.parametrize("huge", [10**400, 1e300, 3e6, -3e6, float("inf")])
def test_coordinates_far_outside_any_picture_are_refused(tmp_path, huge):
    points = face().tolist()
    points[36][0] = huge
    path = tmp_path / "face.json"
    path.write_text(json.dumps(points))
    with pytest.raises(LandmarkError, match=r"face\.json"):
        read_landmarks(path)


def test_files_that_hold_something_else_are_refused_by_name(tmp_path):
    for name, content in [
        ("a.npy", "no array"),
        ("b.txt", "1 2 three"),
        ("c.json", '{"points": []}'),
        ("d.json", "[[1, 2], [3]]"),
        ("e.txt", "1 2\n3 4\n"),
        ("f.xml", "<a/>"),
        ("g.txt", ""),
        ("h.json", "3"),
    ]:
        (tmp_path / name).write_text(content)
        with pytest.raises(LandmarkError, match=name):
            read_landmarks(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_landmarks(tmp_path / "absent.npy")
