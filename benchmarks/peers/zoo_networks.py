"""The networks of the zoo: one a family, the smallest, those made for phones first.

    python -m edgeskin.benchmarks.peers zoo

They are timm's, torchvision's and segmentation_models_pytorch's. The table needs no
torch; `build_network` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgeskin.errors import MissingPackage, UnknownName
from edgeskin.models import MEAN, STD
from edgeskin.spec import ClassificationHead, Head, InputSpec, SegmentationHead, Spec

if TYPE_CHECKING:
    from torch import nn

Library = Literal["timm", "torchvision", "smp"]
FACTORY = "edgeskin.benchmarks.peers.zoo_networks:build_network"
_CLASSES = tuple(f"class_{i}" for i in range(1000))
_REGIONS = ("background", "lesion")


@dataclass(frozen=True)
class ZooNetwork:
    """A network by its family, its library and the name that it has there.

    `segments`: it gives a map of two classes, else 1000 logits.
    """

    family: str
    library: Library
    factory: str
    pixels: int = 224
    options: Mapping[str, Any] = field(default_factory=dict)
    segments: bool = False

    @property
    def name(self) -> str:
        """Unique in the zoo; that of its folder and of its files."""
        return f"smp_{self.factory.lower()}" if self.library == "smp" else self.factory

    def spec(self, *, merged: bool = False) -> Spec:
        """Of its run; `merged` says that the branches of its layers are merged."""
        head: Head = ClassificationHead(name="logits", labels=_CLASSES)
        if self.segments:
            head = SegmentationHead(name="out", labels=_REGIONS)  # as torchvision calls it
        arguments: dict[str, Any] = {
            "library": self.library,
            "factory": self.factory,
            "options": dict(self.options),
        }
        return Spec(
            name=self.name,
            task="benchmark",
            arch=FACTORY,
            arch_args={**arguments, "merged": merged},
            input=InputSpec(
                height=self.pixels, width=self.pixels, resize="squash", mean=MEAN, std=STD
            ),
            heads=(head,),
            license="CC0-1.0",
            intended_use="Measuring conversion and speed. The weights are random.",
        )


def _timm(family: str, factory: str, pixels: int = 224, **options: Any) -> ZooNetwork:
    return ZooNetwork(family, "timm", factory, pixels, options)


def _torchvision(family: str, factory: str, **options: Any) -> ZooNetwork:
    return ZooNetwork(family, "torchvision", factory, options=options)


def _region(family: str, library: Library, factory: str, **options: Any) -> ZooNetwork:
    return ZooNetwork(family, library, factory, options=options, segments=True)


_SMP = {"encoder_name": "mobilenet_v2", "encoder_weights": None, "classes": len(_REGIONS)}
_SEGMENTER = {"weights": None, "weights_backbone": None, "num_classes": len(_REGIONS)}

NETWORKS = {
    network.name: network
    for network in (
        # Made for phones.
        _timm("MobileNetV1", "mobilenetv1_100"),
        _timm("MobileNetV2", "mobilenetv2_050"),
        _timm("MobileNetV3", "mobilenetv3_small_100"),
        _timm("MobileNetV4", "mobilenetv4_conv_small"),
        _timm("MNASNet", "mnasnet_050"),
        _timm("EfficientNet-Lite", "efficientnet_lite0"),
        _timm("EfficientNet", "efficientnet_b0"),
        _timm("EfficientNetV2", "tf_efficientnetv2_b0"),
        _timm("RepVGG", "repvgg_a0"),
        _timm("RepViT", "repvit_m0_9"),
        _timm("FastViT", "fastvit_t8"),
        _timm("MobileOne", "mobileone_s0"),
        _timm("GhostNet", "ghostnet_050"),
        _timm("GhostNetV2", "ghostnetv2_100"),
        _timm("RepGhostNet", "repghostnet_050"),
        _timm("EdgeNeXt", "edgenext_xx_small"),
        _timm("MobileViT", "mobilevit_xxs"),
        _timm("MobileViTV2", "mobilevitv2_050"),
        _timm("EfficientFormer", "efficientformer_l1"),
        _timm("EfficientFormerV2", "efficientformerv2_s0"),
        _timm("EfficientViT (MIT)", "efficientvit_b0"),
        _timm("EfficientViT (Microsoft)", "efficientvit_m0"),
        _timm("TinyViT", "tiny_vit_5m_224"),
        _timm("StarNet", "starnet_s1"),
        _timm("SwiftFormer", "swiftformer_xs"),
        _timm("SHViT", "shvit_s1"),
        _timm("TinyNet", "tinynet_e"),
        _timm("HardCoRe-NAS", "hardcorenas_a"),
        _timm("LCNet", "lcnet_050"),
        _timm("FBNet", "fbnetc_100"),
        _timm("ReXNet", "rexnet_100"),
        _timm("MixNet", "mixnet_s"),
        _torchvision("ShuffleNetV2", "shufflenet_v2_x0_5"),
        _torchvision("SqueezeNet", "squeezenet1_1"),
        # Segmentation.
        _region("LR-ASPP", "torchvision", "lraspp_mobilenet_v3_large", **_SEGMENTER),
        _region("DeepLabV3", "torchvision", "deeplabv3_mobilenet_v3_large", **_SEGMENTER),
        _region("FPN", "smp", "FPN", **_SMP),
        _region("U-Net", "smp", "Unet", **_SMP),
        _region("U-Net++", "smp", "UnetPlusPlus", **_SMP),
        _region("DeepLabV3+", "smp", "DeepLabV3Plus", **_SMP),
        _region("SegFormer", "smp", "Segformer", **{**_SMP, "encoder_name": "mit_b0"}),
        _region("PSPNet", "smp", "PSPNet", **_SMP),
        _region("LinkNet", "smp", "Linknet", **_SMP),
        _region("PAN", "smp", "PAN", **_SMP),
        # Transformers, mixers, and what stands between.
        _timm("ConvNeXt", "convnext_atto"),
        _timm("ConvNeXtV2", "convnextv2_atto"),
        _timm("InceptionNeXt", "inception_next_atto"),
        _timm("MambaOut", "mambaout_femto"),
        _timm("PoolFormer", "poolformer_s12"),
        _timm("LeViT", "levit_128s"),
        _timm("ViT", "vit_tiny_patch16_224"),
        _timm("DeiT, distilled", "deit_tiny_distilled_patch16_224"),
        _timm("Swin", "swin_tiny_patch4_window7_224"),
        _timm("Swin V2", "swinv2_tiny_window8_256", 256),
        _timm("PVTv2", "pvt_v2_b0"),
        _timm("PiT", "pit_ti_224"),
        _timm("CaiT", "cait_xxs24_224"),
        _timm("XCiT", "xcit_nano_12_p16_224"),
        _timm("MaxViT", "maxvit_pico_rw_256", 256),
        _timm("CoAtNet", "coatnet_nano_rw_224"),
        _timm("CoaT", "coat_lite_tiny"),
        _timm("MLP-Mixer", "mixer_s32_224"),
        _timm("ResMLP", "resmlp_12_224"),
        _timm("gMLP", "gmlp_ti16_224"),
        _timm("ConvMixer", "convmixer_768_32"),
        # Convolutions.
        _timm("ResNet", "resnet18", zero_init_last=False),
        _timm("SE-ResNet", "seresnet18", zero_init_last=False),
        _timm("ResNeXt", "resnext50_32x4d", zero_init_last=False),
        _timm("RegNetX", "regnetx_002"),
        _timm("RegNetY", "regnety_002"),
        _timm("HRNet", "hrnet_w18_small"),
        _timm("DenseNet", "densenet121"),
        _timm("VGG", "vgg11_bn"),
        _timm("Inception", "inception_v3"),
        _timm("Xception", "xception41"),
        _timm("CSPNet", "cspresnet50"),
        _timm("DLA", "dla46_c"),
        _timm("VoVNet", "ese_vovnet19b_slim_dw"),
        _timm("SelecSLS", "selecsls42b"),
        _timm("Res2Net", "res2net50_26w_4s", zero_init_last=False),
        _timm("HGNetV2", "hgnetv2_b0"),
        _timm("SKNet", "skresnet18", zero_init_last=False),
        _timm("NFNet", "eca_nfnet_l0"),
        _torchvision("GoogLeNet", "googlenet", aux_logits=False, init_weights=False),
    )
}


def find_networks(names: str | None) -> list[ZooNetwork]:
    """The networks of a comma-separated list, in its order; all of them for None.

    Raises:
        UnknownName: One is not in `NETWORKS`.
    """
    asked = [name.strip() for name in names.split(",")] if names else list(NETWORKS)
    for name in asked:
        if name not in NETWORKS:
            raise UnknownName(f"no network '{name}' in the zoo; there are {', '.join(NETWORKS)}")
    return [NETWORKS[name] for name in asked]


def build_network(
    library: Library, factory: str, options: Mapping[str, Any], merged: bool
) -> nn.Module:
    """The network with random weights; `merged` gives it the layers that merging leaves.

    Raises:
        MissingPackage: segmentation_models_pytorch is not installed.
    """
    from timm.models import reparameterize_model

    network = _build(library, factory, options)
    return reparameterize_model(network.eval()) if merged else network


def _build(library: Library, factory: str, options: Mapping[str, Any]) -> nn.Module:
    if library == "timm":
        import timm

        return timm.create_model(factory, **options)
    if library == "torchvision":
        import torchvision

        network: nn.Module = torchvision.models.get_model(factory, **options)
        return network
    try:
        import segmentation_models_pytorch as smp
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"{factory} is of segmentation_models_pytorch: "
            "pip install 'segmentation_models_pytorch==0.6.0'"
        ) from error
    made: nn.Module = getattr(smp, factory)(**options)
    return made
