package edgeskin

import java.nio.ByteBuffer

/** One byte a pixel, rows side by side. */
class Mask(val pixels: ByteArray, val width: Int, val height: Int)

/**
 * The pixels that a model is to see, by the mask of another: es_selection of edgeskin.h.
 *
 * @param mask of the image as stored, as `segment` gives it.
 * @param keep values of the mask, 0 to 255, whose pixels stay.
 * @param fill red, green and blue of all other pixels.
 */
class Selection(val mask: Mask, val keep: Set<Int> = setOf(1), val fill: List<Int> = listOf(0, 0, 0)) {
    init {
        if (fill.size != 3 || (keep + fill).any { it !in 0..255 }) {
            throw EdgeskinException("ES_BAD_VALUE", "keep holds values from 0 to 255 and fill three, got $keep and $fill")
        }
    }

    /** The fields keep[256] and fill[3], side by side. */
    internal fun bytes() = ByteArray(259).also { bytes ->
        for (value in keep) bytes[value] = 1
        fill.forEachIndexed { i, value -> bytes[256 + i] = value.toByte() }
    }
}

/**
 * @param mask a class index a pixel of the image as stored; 255 where the model did not see it.
 * @param counts pixels of each class.
 */
class Segmented(val mask: Mask, val counts: LongArray)

/**
 * Logits of `classes` channels, `width` x `height`, to classes of the image's own pixels: `placement`
 * is undone.
 */
fun segment(
    logits: Tensor, classes: Int, width: Int, height: Int, layout: Layout = Layout.NHWC, placement: Placement,
    workspace: Workspace = Workspace(),
): Segmented {
    val (n, r) = placement.ints() to placement.reals()
    val m = logits.memory
    fun call(mask: ByteArray?, counts: LongArray?, scratch: ByteBuffer?) = Native.segment(
        m.base, m.offset, m.bytes, logits.type.code, logits.scale, logits.zeroPoint, classes, width, height,
        layout.code, n, r, mask, counts, scratch,
    )
    val scratch = workspace.reserve(call(null, null, null))
    val pixels = ByteArray(size(placement.imageWidth.toLong() * placement.imageHeight))
    val counts = LongArray(maxOf(classes, 2))
    call(pixels, counts, scratch)
    return Segmented(Mask(pixels, placement.imageWidth, placement.imageHeight), counts)
}

/**
 * A rectangle of a mask.
 *
 * @param area pixels of the component; of lesion for `findCrops`.
 * @param x centroid of those pixels, with `y`; of the box for `findCrops`.
 */
data class Box(
    val left: Int, val top: Int, val width: Int, val height: Int, val area: Long, val x: Double, val y: Double,
)

/** At most `capacity` boxes, best first, and how many the C function counted. */
class Boxes(val boxes: List<Box>, val count: Int)

/** Connected components of the pixels equal to `value`, largest first; `count` is all of them. */
fun components(
    mask: Mask, value: Int = 1, connectivity: Int = 8, minArea: Long = 1, capacity: Int = 256,
    workspace: Workspace = Workspace(),
): Boxes {
    val scratch = workspace.reserve(Native.componentsWorkspace(mask.width))
    return boxes(minOf(capacity, mask.pixels.size)) { boxes, room ->
        Native.components(mask.pixels, mask.width, mask.height, value, connectivity, minArea, boxes, room, scratch)
    }
}

/** es_crop_rule of edgeskin.h; the shares are the published rule's. */
data class CropRule(
    val side: Int, val step: Int, val skinValue: Int = 1, val lesionValue: Int = 1,
    val minSkin: Double = 0.8, val minLesion: Double = 0.1, val maxOverlap: Double = 0.5,
)

/** Squares with enough skin and enough lesion, best first. */
fun findCrops(
    skin: Mask, lesion: Mask, rule: CropRule, capacity: Int = 16, workspace: Workspace = Workspace(),
): Boxes {
    val scratch = workspace.reserve(Native.findCropsWorkspace(skin.width))
    val n = intArrayOf(rule.side, rule.step, rule.skinValue, rule.lesionValue)
    val r = doubleArrayOf(rule.minSkin, rule.minLesion, rule.maxOverlap)
    return boxes(minOf(capacity, skin.pixels.size)) { boxes, room ->
        Native.findCrops(
            skin.pixels, skin.width, skin.height, lesion.pixels, lesion.width, lesion.height, n, r, boxes, room, scratch,
        )
    }
}

private const val BYTES = 40 // of an es_box

private fun boxes(capacity: Int, fill: (ByteBuffer, Int) -> Int): Boxes {
    val found = direct(BYTES * maxOf(capacity, 0))
    val count = fill(found, capacity)
    val boxes = List(minOf(count, capacity)) {
        val at = BYTES * it
        Box(
            found.getInt(at), found.getInt(at + 4), found.getInt(at + 8), found.getInt(at + 12),
            found.getLong(at + 16), found.getDouble(at + 24), found.getDouble(at + 32),
        )
    }
    return Boxes(boxes, count)
}
