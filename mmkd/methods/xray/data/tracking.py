"""Tracks of predicted boxes, for sequences without labels."""
from dataclasses import dataclass
from typing import Dict, List

import numpy as np
from scipy.optimize import linear_sum_assignment

from mmkd.methods.xray.data.boxes import transform


@dataclass(frozen=True)
class TrackOptions:
    """Options of tracking.

    Args:
        min_score (float): Minimum score of a box. Defaults to 0.3.
        gate (float): Maximum distance of a static object from its expected
            position, metres; at least twice its longest side while its speed
            is unknown. Defaults to 2.
        gate_time (float): Time whose distance at the object's speed is added
            to the gate, seconds. Defaults to 0.5.
        max_gap (int): Maximum number of missing frames in a track. Defaults
            to 2.
        min_length (int): Minimum number of boxes in a track. Defaults to 2.
    """
    min_score: float = 0.3
    gate: float = 2.
    gate_time: float = 0.5
    max_gap: int = 2
    min_length: int = 2


class _Track:

    def __init__(self, centre: np.ndarray, time: float, frame: int,
                 velocity: np.ndarray) -> None:
        self.centre, self.time, self.frame = centre, time, frame
        self.velocity = velocity  # NaN while unknown
        self.members: List[dict] = []

    def expected(self, time: float) -> np.ndarray:
        return self.centre + np.nan_to_num(self.velocity) * (time - self.time)

    def gate(self, options: TrackOptions) -> float:
        speed = np.linalg.norm(self.velocity)
        if np.isnan(speed):
            side = max(self.members[-1]['box_lidar'][3:5])
            return max(options.gate, 2 * side)
        return options.gate + options.gate_time * speed

    def add(self, centre: np.ndarray, time: float, frame: int) -> None:
        if time > self.time:
            self.velocity = (centre - self.centre) / (time - self.time)
        self.centre, self.time, self.frame = centre, time, frame


def track(frames: List[dict], options: TrackOptions = TrackOptions()) -> int:
    """Assign track ids to the boxes of a scene, in place.

    Centres are compared in the world frame, which removes the ego motion, with
    the positions predicted by a constant velocity. Within each class, boxes
    are assigned to tracks one to one with minimum total cost.

    Args:
        frames (list[dict]): Frames of a scene in order of time, with
            ``lidar2global``, ``timestamp`` and ``instances``, which have
            ``box_lidar``, ``bbox_label_3d``, ``score`` and, if it is known,
            ``velocity`` (x and y in the frame of the LiDAR, m/s). Their
            ``instance_id`` is set; ``''`` for boxes of no track.
        options (TrackOptions): The options.

    Returns:
        int: Number of tracks.
    """
    tracks: Dict[int, List[_Track]] = {}
    for number, info in enumerate(frames):
        time = info['timestamp']
        world = np.array(info['lidar2global'], np.float64)
        by_class: Dict[int, List[dict]] = {}
        for instance in info['instances']:
            instance['instance_id'] = ''
            if instance.get('score', 1.) >= options.min_score:
                by_class.setdefault(instance['bbox_label_3d'],
                                    []).append(instance)
        for label, found in by_class.items():
            centres = transform(
                np.array([x['box_lidar'][:3] for x in found]), world)[:, :2]
            known = tracks.setdefault(label, [])
            live = [
                x for x in known if 0 < number - x.frame <= options.max_gap + 1
            ]
            matched = _match(live, centres, time, options)
            for i, instance in enumerate(found):
                if i in matched:
                    owner = live[matched[i]]
                    owner.add(centres[i], time, number)
                else:
                    own = instance.get('velocity', [np.nan] * 2)
                    owner = _Track(centres[i], time, number,
                                   world[:2, :2] @ np.array(own, np.float64))
                    known.append(owner)
                owner.members.append(instance)
    count = 0
    for label in sorted(tracks):
        for owner in tracks[label]:
            if len(owner.members) >= options.min_length:
                for instance in owner.members:
                    instance['instance_id'] = f'track{count:05d}'
                count += 1
    return count


def _match(live: List[_Track], centres: np.ndarray, time: float,
           options: TrackOptions) -> Dict[int, int]:
    """Track of each box that has one, by number."""
    if not live:
        return {}
    expected = np.array([x.expected(time) for x in live])
    gates = np.array([x.gate(options) for x in live])
    distance = np.linalg.norm(centres[:, None] - expected[None], axis=2)
    # A pair beyond the gate costs more than all others together.
    too_far = distance > gates
    cost = np.where(too_far, 1e6, distance)
    rows, columns = linear_sum_assignment(cost)
    return {int(i): int(j) for i, j in zip(rows, columns) if not too_far[i, j]}
