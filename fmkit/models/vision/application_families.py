"""The models of keras.applications as a table, readable before TensorFlow is imported.

Names are the class names in snake case, with versions set off: `resnet50_v2`, `efficientnet_b0`,
`efficientnet_v2_s`, `mobilenet_v3_small`, `densenet121`, `vgg16`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What the models of one architecture share.

    Attributes:
        preprocessing: `caffe`, `tf` and `torch` as in keras.applications.imagenet_utils; `v2` is
            (x - 128) / 128; `built_in` means that the model has its own.
        smallest: least side of the input, in pixels.
        rules: patterns of layer names and their blocks; none means by the shape of the graph.
    """

    preprocessing: str
    smallest: int
    rules: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Application:
    """One model of keras.applications.

    Attributes:
        keras_name: the function in keras.applications.
        family: what it shares with its relatives.
        image_size: side of the input that the published weights were trained for, in pixels.
        parameters: of the backbone, without the head.
    """

    keras_name: str
    family: Family
    image_size: int
    parameters: int


_MBCONV = (
    (r"normalization.*|stem_.*", "stem"),
    (r"(block\d+.)_.*", r"\1"),
    (r"top_.*", "top"),
)

CONVNEXT = Family(
    "torch",
    32,
    (
        (r".*_stem", "stem"),
        (r".*_downsampling_block_(\d+)", r"downsampling_\1"),
        (r".*_(stage_\d+_block_\d+)_.*", r"\1"),
        (r"layer_normalization.*", "top"),
    ),
)
DENSENET = Family(
    "torch",
    32,
    (
        (r"conv1_.*", "stem"),
        (r"(conv\d+_block\d+)_.*", r"\1"),
        (r"pool(\d+)_.*", r"transition\1"),
        (r"bn", "top"),
    ),
)
EFFICIENTNET = Family("built_in", 32, _MBCONV)
EFFICIENTNET_V2_B = Family("torch", 32, _MBCONV)
EFFICIENTNET_V2 = Family("v2", 32, _MBCONV)
INCEPTION = Family("tf", 75)
MOBILENET = Family("tf", 32, ((r"conv1.*", "stem"), (r"conv_(?:dw|pw)_(\d+).*", r"block_\1")))
MOBILENET_V2 = Family(
    "tf",
    32,
    (
        (r"Conv1|bn_Conv1", "stem"),
        (r"expanded_conv_.*", "block_0"),
        (r"(block_\d+)_.*", r"\1"),
        (r"Conv_1.*", "top"),
    ),
)
MOBILENET_V3 = Family(
    "tf",
    32,
    (
        (r"conv|conv_bn", "stem"),
        (r"expanded_conv_(\d+)_.*", r"block_\1"),
        (r"expanded_conv_.*", "block_0"),
        (r"conv_1.*", "top"),
    ),
)
NASNET = Family("tf", 32, ((r"stem_.*", "stem"), (r".*?_((?:stem_|reduce_)?\d+)", r"cell_\1")))
RESNET = Family("caffe", 32, ((r"conv1_.*", "stem"), (r"(conv\d+_block\d+)_.*", r"\1")))
RESNET_V2 = Family("tf", 32, (*RESNET.rules, (r"post_bn", "top")))
VGG = Family("caffe", 32, ((r"(block\d+)_.*", r"\1"),))
XCEPTION = Family("tf", 71)

APPLICATIONS: dict[str, Application] = {
    "convnext_tiny": Application("ConvNeXtTiny", CONVNEXT, 224, 27_820_128),
    "convnext_small": Application("ConvNeXtSmall", CONVNEXT, 224, 49_454_688),
    "convnext_base": Application("ConvNeXtBase", CONVNEXT, 224, 87_566_464),
    "convnext_large": Application("ConvNeXtLarge", CONVNEXT, 224, 196_230_336),
    "convnext_xlarge": Application("ConvNeXtXLarge", CONVNEXT, 224, 348_147_968),
    "densenet121": Application("DenseNet121", DENSENET, 224, 7_037_504),
    "densenet169": Application("DenseNet169", DENSENET, 224, 12_642_880),
    "densenet201": Application("DenseNet201", DENSENET, 224, 18_321_984),
    "efficientnet_b0": Application("EfficientNetB0", EFFICIENTNET, 224, 4_049_571),
    "efficientnet_b1": Application("EfficientNetB1", EFFICIENTNET, 240, 6_575_239),
    "efficientnet_b2": Application("EfficientNetB2", EFFICIENTNET, 260, 7_768_569),
    "efficientnet_b3": Application("EfficientNetB3", EFFICIENTNET, 300, 10_783_535),
    "efficientnet_b4": Application("EfficientNetB4", EFFICIENTNET, 380, 17_673_823),
    "efficientnet_b5": Application("EfficientNetB5", EFFICIENTNET, 456, 28_513_527),
    "efficientnet_b6": Application("EfficientNetB6", EFFICIENTNET, 528, 40_960_143),
    "efficientnet_b7": Application("EfficientNetB7", EFFICIENTNET, 600, 64_097_687),
    "efficientnet_v2_b0": Application("EfficientNetV2B0", EFFICIENTNET_V2_B, 224, 5_919_312),
    "efficientnet_v2_b1": Application("EfficientNetV2B1", EFFICIENTNET_V2_B, 240, 6_931_124),
    "efficientnet_v2_b2": Application("EfficientNetV2B2", EFFICIENTNET_V2_B, 260, 8_769_374),
    "efficientnet_v2_b3": Application("EfficientNetV2B3", EFFICIENTNET_V2_B, 300, 12_930_622),
    "efficientnet_v2_s": Application("EfficientNetV2S", EFFICIENTNET_V2, 384, 20_331_360),
    "efficientnet_v2_m": Application("EfficientNetV2M", EFFICIENTNET_V2, 480, 53_150_388),
    "efficientnet_v2_l": Application("EfficientNetV2L", EFFICIENTNET_V2, 480, 117_746_848),
    "inception_resnet_v2": Application("InceptionResNetV2", INCEPTION, 299, 54_336_736),
    "inception_v3": Application("InceptionV3", INCEPTION, 299, 21_802_784),
    "mobilenet": Application("MobileNet", MOBILENET, 224, 3_228_864),
    "mobilenet_v2": Application("MobileNetV2", MOBILENET_V2, 224, 2_257_984),
    "mobilenet_v3_large": Application("MobileNetV3Large", MOBILENET_V3, 224, 2_996_352),
    "mobilenet_v3_small": Application("MobileNetV3Small", MOBILENET_V3, 224, 939_120),
    "nasnet_large": Application("NASNetLarge", NASNET, 331, 84_916_818),
    "nasnet_mobile": Application("NASNetMobile", NASNET, 224, 4_269_716),
    "resnet50": Application("ResNet50", RESNET, 224, 23_587_712),
    "resnet50_v2": Application("ResNet50V2", RESNET_V2, 224, 23_564_800),
    "resnet101": Application("ResNet101", RESNET, 224, 42_658_176),
    "resnet101_v2": Application("ResNet101V2", RESNET_V2, 224, 42_626_560),
    "resnet152": Application("ResNet152", RESNET, 224, 58_370_944),
    "resnet152_v2": Application("ResNet152V2", RESNET_V2, 224, 58_331_648),
    "vgg16": Application("VGG16", VGG, 224, 14_714_688),
    "vgg19": Application("VGG19", VGG, 224, 20_024_384),
    "xception": Application("Xception", XCEPTION, 299, 20_861_480),
}
