"""Label and track sequences without annotations.

    # 1. A detector trained on labelled frames labels and tracks sequences.
    mmkd pseudo-label CONFIG CKPT --layout nuscenes \\
        --data-root data/nuscenes --infos nuscenes_infos_unlabelled.pkl \\
        --out nuscenes_infos_tracked.pkl --track
    # 2. Their objects are completed; icp compensates for jittering boxes.
    mmkd complete infos --data-root data/nuscenes \\
        --points samples/LIDAR_TOP --infos nuscenes_infos_tracked.pkl \\
        --strategy icp --tag pseudo
    # 3. A teacher trained on object-complete frames labels them again.
    mmkd pseudo-label TEACHER_CONFIG TEACHER_CKPT --layout infos \\
        --points samples/LIDAR_TOP --data-root data/nuscenes --complete \\
        --infos nuscenes_infos_tracked_pseudo.pkl \\
        --out nuscenes_infos_unlabelled_pseudo.pkl

The result is an index file of mmdet3d whose boxes are predictions with scores;
any detector can be trained with it. Existing annotations are ignored.
"""
import argparse
import os.path as osp
import tempfile

from mmkd.cli.options import (CONFIG, KeyValues, add_cfg_options, add_device,
                              add_file, quietly, read)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(parser, 'config', help=f'that of the detector: {CONFIG}')
    add_file(parser, 'checkpoint', help='its weights')
    parser.add_argument(
        '--layout',
        required=True,
        choices=['nuscenes', 'kitti', 'waymo', 'infos'],
        help='see `mmkd complete`')
    parser.add_argument('--data-root', required=True)
    parser.add_argument('--infos', required=True, help='in that folder')
    parser.add_argument('--out', required=True, help='in that folder')
    parser.add_argument('--points', help='folder of the points in it')
    parser.add_argument(
        '--tables', help='folder of the tables of nuScenes, if different')
    parser.add_argument(
        '--complete',
        action='store_true',
        help='the detector is a teacher for complete objects')
    parser.add_argument(
        '--min-score', type=float, default=.3, help='of a label')
    parser.add_argument(
        '--class-score',
        nargs='+',
        action=KeyValues,
        default={},
        help='the same by class, as CLASS=SCORE')
    parser.add_argument(
        '--track', action='store_true', help='link labels over time')
    add_cfg_options(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Predict, label and track."""
    from mmkd import apis
    from mmkd.engine.records import check_free
    from mmkd.methods.xray.data import infos
    from mmkd.methods.xray.data.pipelines import with_complete_objects
    from mmkd.methods.xray.data.pseudo_labels import label_frames
    from mmkd.methods.xray.data.tracking import track
    check_free(osp.join(args.data_root, args.out))
    folder = args.points or infos.POINTS_FOLDER[args.layout]
    content = infos.load_infos(osp.join(args.data_root, args.infos))
    infos.add_identities(content, args.layout, args.data_root, args.tables,
                         folder.split('/')[0])
    cfg = read(args)
    if args.complete:
        cfg.test_dataloader = with_complete_objects(
            cfg.test_dataloader, keep='teacher')
    cfg.test_dataloader.dataset.update(
        data_root=args.data_root, ann_file=args.infos)
    with quietly(args), tempfile.TemporaryDirectory() as work_dir:
        cfg.work_dir = work_dir
        predictions, classes = apis.predict(cfg, args.checkpoint)
    scores = {name: args.min_score for name in classes}
    content = label_frames(content, predictions, classes,
                           osp.join(args.data_root, folder), {
                               **scores,
                               **args.class_score
                           })
    tracks = sum(
        track(frames) for frames in infos.group_by_scene(
            content['data_list']).values()) if args.track else None
    path = osp.join(args.data_root, args.out)
    infos.save_infos(content, path)
    count = sum(len(x['instances']) for x in content['data_list'])
    tracked = '' if tracks is None else f', {tracks} tracks'
    print(f'{path}: {len(content["data_list"])} frames, {count} labels'
          f'{tracked}')
