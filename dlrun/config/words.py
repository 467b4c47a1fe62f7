"""What people type who know other tools: one table of their words, with what each is called here.

A word stands here in small letters without ``-``, ``_`` and ``.`` (:func:`plain`), so that ``--learning-rate``,
``learning_rate`` and ``LearningRate`` are one; several words of one meaning stand in one line. ``{}`` is the value that
was typed.
"""

from __future__ import annotations


def plain(word: str) -> str:
    """A word as it stands in the tables.

    Example:
        >>> plain("--Learning-Rate")
        'learningrate'
    """
    return word.lower().translate(str.maketrans("", "", "-_. "))


def _by_word(lines: dict[str, str]) -> dict[str, str]:
    return {word: meaning for words, meaning in lines.items() for word in words.split()}


VERBS = _by_word(
    {
        "fit learn run start experiment new create trainpy python": "dlrun train",
        "fitonecycle onecycle": "dlrun train scheduler=one_cycle",
        "lrfind lrfinder findlr": "dlrun train -m optimizer.lr=0.1,0.03,0.01",
        "last best latest": "dlrun evaluate run=last",
        "test eval score measure benchmark": "dlrun evaluate run=last",
        "val validate validation": "dlrun evaluate run=last split=val",
        "resume continue restart": "dlrun train run=last",
        "transfer retrain": "dlrun finetune",
        "sweep multirun grid gridsearch search hpo tune tuning": "dlrun train -m",
        "infer inference classify detect": "dlrun predict run=last input=photo.jpg",
        "interpret heatmap saliency gradcam cam xai": "dlrun explain run=last",
        "fgsm pgd robustness adversarial": "dlrun attack run=last attack=pgd",
        "verify prove": "dlrun certify run=last",
        "save convert onnx": "dlrun export run=last",
        "plot draw viz show": "dlrun visualize run=last",
        "summary params parameters describe info": "dlrun inspect",
        "repeat rerun": "dlrun replay run=last",
        "experiments examples demo": "dlrun reproduce",
        "lessons laboratory lab": "dlrun lesson",
        "list ls models datasets model dataset choices": "dlrun train --help",
        "config cfg configs": "dlrun train --cfg job",
        "runs tb board logs status compare dashboard gui ui": "dlrun tensorboard",
        "download": "dlrun train dataset=NAME, which downloads it where it is not yet",
        "version v": "dlrun --version",
    }
)
"""Verbs: the command line that does it."""

FALSE = ("false", "no", "off", "0", "none", "null")
TRUE = ("true", "yes", "on")
"""Values of what is a switch elsewhere."""
OFF = {"trainer.device": "trainer.device=cpu", "trainer.precision": "trainer.precision=fp32"}
"""Keys whose default may be on: what turns it off."""

KEYS = _by_word(
    {
        "learningrate baselr lrrate eta": "optimizer.lr={}",
        "wd l2": "optimizer.weight_decay={}",
        "opt optim solver": "optimizer={}",
        "bs b batch batchsize trainbatchsize perdevicetrainbatchsize": "dataset.batch_size={}",
        "e ep epoch nepochs nepoch numepochs maxepochs numtrainepochs": "trainer.epochs={}",
        "iters iterations maxsteps numsteps maxiter itermax": "trainer.steps={}",
        "gpu": "trainer.device=cuda:{}",
        "gpus ngpus numgpus devices gpuids nprocpernode": "trainer.devices={}",
        "distributed strategy ddp dp nnodes": "trainer.devices=2, or torchrun",
        "fsdp sharding": "trainer.devices=2 trainer.shard=true",
        "mps": "trainer.device=mps",
        "accelerator dev": "trainer.device={}",
        "cuda usecuda usegpu": "trainer.device=cuda",
        "cpu nocuda nogpu": "trainer.device=cpu",
        "amp fp16 half mixedprecision useamp": "trainer.precision=fp16",
        "bf16": "trainer.precision=bf16",
        "callbacks": "trainer.patience=5 to stop early, or callback.NAME.KEY=VALUE of --help callback",
        "ema": "trainer.ema=0.999",
        "compile": "trainer.compile=true",
        "evalevery evalinterval valinterval valevery checkvaleverynepoch": "trainer.validate_every={}",
        "logevery loginterval logeverynsteps printfreq": "trainer.log_every={}",
        "saveevery saveinterval savefreq saveperiod": "callback.checkpoint.every_steps={}",
        "kfold folds cv crossval": "-m seed=1,2,3, which repeats with other splits",
        "earlystopping earlystop": "trainer.patience=5",
        "earlystoppingpatience": "trainer.patience={}",
        "schedulerstepsize": "scheduler.every={}, with scheduler=step",
        "gradclip gradientclip clip clipgrad clipgradnorm clipnorm gradientclipval maxgradnorm": "trainer.clip_norm={}",
        "accumulate traineraccumulate gradaccum accumulation accumulategradbatches gradientaccumulationsteps": (
            "trainer.replicas={} with a dataset.batch_size that many times as large"
        ),
        "fastdevrun debug smoke quick smoketest": "trainer.limit_batches=5 trainer.epochs=1",
        "limittrainbatches overfitbatches subset": "trainer.limit_batches={}",
        "sched lrscheduler lrschedule schedule lrs": "scheduler={}",
        "warmup warmupepochs": "scheduler.warmup_epochs={}",
        "arch architecture net network backbone modelname": "model={}",
        "criterion lossfn lossfunction objective cost": "loss={}",
        "root data datadir datapath dataroot dir path folder traindir": "dataset.root={}, with dataset=image_folder",
        "ds datasetname dataname": "dataset={}",
        "numworkers nworkers j": "dataset.workers={}",
        "imgsz imgsize imagesize size resolution inputsize": "dataset.image_size={}",
        "valsplit validsize validationsplit valsize valratio": "dataset.val_fraction={}",
        "augment augmentation aug dataaugmentation transforms": "dataset.augment.flip=0.5, or others of --help dataset",
        "nclasses numclass nbclasses": "dataset.num_classes={}",
        "inchannels inchans nchannels": "dataset.channels={}",
        "grayscale greyscale gray grey": "dataset.channels=1",
        "inputshape inputdim": "dataset.image_size=N dataset.channels=1 (or 3)",
        "testsize testsplit testfraction": "dataset.source.test_fraction={}, with dataset=image_folder",
        "transform": "dataset.augment.flip=0.5, or others of --help dataset",
        "betas beta1 beta2": "optimizer.betas=[0.9,0.999], with optimizer=adam",
        "experiments": "experiment={}",
        "loggerproject": "logger=wandb logger.wandb.project={}",
        "pretrained finetune transfer freeze": "dlrun finetune dataset=image_folder dataset.root=DIR",
        "resume resumefrom resumefromcheckpoint continue autoresume restore load": "run={}",
        "checkpoint ckpt ckptpath modelpath pth": "run=DIR, or weights={}",
        "output outputdir out o outdir savedir logdir rundir project expdir": "hydra.run.dir={}",
        "experimentname expname runname exp": "name={}",
        "randomseed manualseed randomstate s": "seed={}",
        "wandb usewandb": "logger=[tensorboard,wandb]",
        "mlflow usemlflow": "logger=[tensorboard,mlflow]",
        "trackio usetrackio": "logger=[tensorboard,trackio]",
        "wandbproject projectname": "logger=wandb logger.wandb.project={}",
        "image images img source file photo picture": "input={}",
        "topk k": "top_k={}",
        "n num numsamples nsamples samples count maxsamples": "limit={}",
        "epsilon": "attack.eps={}",
        "alpha stepsize": "attack.step_size={}",
        "adversarial robust": "task=adversarial attack=pgd",
        "targetlayer layername": "explainer.layer={}",
        "method explain cam": "explainer={}",
        "dropoutrate droprate": "model.dropout={}",
        "hiddensize hiddendim hiddenunits units": "model.hidden=[{}]",
        "config configfile yaml configpath": "experiment=NAME, or --config-dir DIR with DIR/model/NAME.yaml",
        "dryrun printconfig": "--cfg job, or sweep.dry_run=true for a sweep",
        "trials ntrials": "-m hydra/sweeper=optuna hydra.sweeper.trials={}",
        "jobs njobs": "-m hydra/launcher=joblib hydra.launcher.n_jobs={}",
        "all everything": "all=true",
    }
)
"""Keys and flags: what to type; a verb that has no such key gets none."""

NOTES = _by_word(
    {
        "tensorboard tb log": "it is on; dlrun tensorboard shows it",
        "verbose v quiet q progress loglevel": "all is said, and in the run's log.txt too",
        "savemodel save savebest": "the run's folder has checkpoints/best.pt and last.pt anyway",
        "shuffle": "training images are shuffled anyway, by seed",
        "metric metrics": "loss and accuracy are measured anyway; dlrun evaluate adds precision, recall and F1",
        "schedulertmax tmax": "scheduler=cosine falls over the whole training",
        "plot plots": "figures/curves.png is drawn anyway",
        "mode": "the verb says it, such as dlrun train",
        "lrfind lrfinder autolr": "there is no search for it; expected such as -m optimizer.lr=0.1,0.03,0.01",
    }
)
"""Keys and flags for what needs none: a sentence."""

_CHOICES = {
    "loss": {
        "ce xent nll softmax crossentropyloss categoricalcrossentropy sparsecategoricalcrossentropy": "cross_entropy",
        "l2 meansquarederror mseloss squared": "mse",
        "bceloss bcewithlogits bcewithlogitsloss binarycrossentropy": "bce",
        "kldiv kldivloss": "kl",
        "svm": "hinge",
    },
    "scheduler": {
        "none null no off false fixed": "constant",
        "cos cosineannealing cosineannealinglr": "cosine",
        "onecyclelr superconvergence": "one_cycle",
        "steplr": "step",
        "multisteplr milestones": "multi_step",
    },
    "optimizer": {
        "momentum nesterov": "sgd",
        "rms": "rmsprop",
    },
    "dataset": {
        "fashion fmnist": "fashion_mnist",
        "cifar": "cifar10",
        "folder images custom imagedirectory": "image_folder",
        "loaddigits sklearn optdigits": "digits",
    },
    "model": {
        "lenet5": "lenet",
        "resnet": "resnet18",
        "vgg": "vgg16",
        "convnet convnet2d simplecnn": "cnn",
        "fc dense nn": "mlp",
        "ae vae": "autoencoder",
        "logistic softmax logreg": "linear",
        "gan": "dcgan",
        "ddpm ddim diffusion": "diffusion_unet",
    },
    "task": {
        "classifier": "classification",
        "adv": "adversarial",
        "seg": "segmentation",
        "ddpm ddim denoising": "diffusion",
    },
    "visualizer": {
        "activations featuremap": "feature_maps",
        "kernels weights": "filters",
    },
    "init": {
        "none": "null",
        "kaiming kaimingnormal": "he",
        "glorot xavieruniform xaviernormal": "xavier",
    },
    "attack": {
        "none": "null",
        "bim ifgsm": "pgd",
        "autoattack aa": "auto",
    },
    "explainer": {
        "ig": "integrated_gradients",
        "gradcam++ gradcampp": "grad_cam_plus_plus",
        "gradient gradients vanilla": "saliency",
    },
    "logger": {
        "tb csv": "tensorboard",
        "none no false off": "null",
        "weightsandbiases wb": "wandb",
    },
}
CHOICES = {group: _by_word(lines) for group, lines in _CHOICES.items()}
"""Choices by group: what each is called here."""

VALUES = {
    key: _by_word(lines)
    for key, lines in {
        "trainer.precision": {
            "16 16mixed float16 half amp true mixed": "trainer.precision=fp16",
            "bf16mixed bfloat16": "trainer.precision=bf16",
            "32 32true float32 full false none": "trainer.precision=fp32",
        },
        "trainer.device": {"gpu": "trainer.device=cuda", "tpu xla": "auto, cpu, cuda, cuda:N or mps"},
        "trainer.ema": {"true": "trainer.ema=0.999"},
        "optimizer.lr": {"auto find": "a number, or several of them with -m optimizer.lr=0.1,0.03,0.01"},
        "split": {"valid validation": "split=val", "testing": "split=test", "training": "split=train"},
        "run": {"latest newest recent": "run=last", "best": "run=last, which after a sweep is its best job"},
        "attack.norm": {"l1 1": "attack.norm=linf or l2", "inf": "attack.norm=linf", "2": "attack.norm=l2"},
        "attack": {"cw carliniwagner deepfool jsma zoo": "attack=auto, which is stronger than each of its parts"},
        "explainer": {"shap lime": "explainer=occlusion or integrated_gradients, which ask the same question"},
        "task": {"detect detection pose obb": "task=classification or segmentation; nothing here finds boxes"},
        "callback": {
            "earlystopping": "trainer.patience=5",
            "none modelcheckpoint checkpoint": "callback.NAME=null for one of those of --help callback",
        },
        "scheduler": {"reducelronplateau": "scheduler=plateau"},
    }.items()
}
"""Values of keys: what to type in the place of each."""

BACKBONES = (
    *("convnext", "densenet", "efficientnet", "googlenet", "inception", "maxvit", "mnasnet", "mobilenet", "regnet"),
    *("resnext", "shufflenet", "squeezenet", "swin", "vit", "wide_resnet"),
)
"""How the names of torchvision's other classifiers begin."""

FLAGS = {
    **dict.fromkeys(("-h", "--help", "--version", "--hydra-help", "--resolve", "-r", "--run", "-m", "--multirun"), 0),
    **dict.fromkeys(("-sc", "--shell-completion"), 0),
    **dict.fromkeys(("-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name"), 1),
    **dict.fromkeys(("-cd", "--config-dir", "--experimental-rerun", "-i", "--info"), 1),
}
"""Hydra's flags, with how many values follow each; a test compares them with Hydra's own."""
