// Each function of edgeskin.h through the Kotlin API.

import edgeskin.*
import java.nio.ByteBuffer

fun run(case: Case): Map<String, Any> = when (case.function) {
    "preprocess", "preprocess_masked" -> preprocess(case)
    "place" -> place(case)
    "recipe_from_spec" -> fromSpec(case)
    "dequantize" -> mapOf("values" to tensor(case, "tensor").dequantized(case.int("count")))
    "classify" -> classified(case)
    "measure" -> measured(case)
    "grade" -> mapOf("grade" to grade(case.double("value"), case.doubles("upper").toDoubleArray()))
    "segment" -> segmented(case)
    "components" -> boxes(
        components(
            mask(case, "mask"), case.int("value"), case.int("connectivity"), case.int("min_area").toLong(),
            case.int("capacity"),
        )
    )
    "find_crops" -> {
        val rule = CropRule(
            case.int("rule.side"), case.int("rule.step"), case.int("rule.skin_value"), case.int("rule.lesion_value"),
            case.double("rule.min_skin"), case.double("rule.min_lesion"), case.double("rule.max_overlap"),
        )
        boxes(findCrops(mask(case, "skin"), mask(case, "lesion"), rule, case.int("capacity")))
    }
    else -> mapOf("unknown" to case.function)
}

private fun direct(bytes: ByteArray): ByteBuffer = ByteBuffer.allocateDirect(bytes.size).put(bytes).also { it.flip() }

private fun image(case: Case, planes: List<Plane> = emptyList()) = Image(
    PixelFormat(case.choice("image.format", 0)), case.int("image.width"), case.int("image.height"), planes,
    case.int("image.orientation", 1), ColorMatrix(case.choice("image.matrix", 0)),
    ColorRange(case.choice("image.range", 0)),
)

private fun recipe(case: Case): Recipe {
    val plain = Recipe(case.int("recipe.width"), case.int("recipe.height"))
    return plain.copy(
        fit = Fit(case.choice("recipe.fit", plain.fit.code)),
        resizeTo = case.int("recipe.resize_to"),
        filter = Filter(case.choice("recipe.filter", plain.filter.code)),
        padValue = case.int("recipe.pad_value"),
        crop = case.doubles("recipe.crop").map(Double::toFloat).ifEmpty { null },
        channels = PixelFormat(case.choice("recipe.channels", plain.channels.code)),
        type = ElementType(case.choice("recipe.type", plain.type.code)),
        layout = Layout(case.choice("recipe.layout", plain.layout.code)),
        mean = case.doubles("recipe.mean").ifEmpty { plain.mean },
        std = case.doubles("recipe.std").ifEmpty { plain.std },
        scale = case.double("recipe.scale", plain.scale),
        zeroPoint = case.int("recipe.zero_point"),
    )
}

/** From direct buffers and from arrays; both must give the same. */
private fun preprocess(case: Case): Map<String, Any> {
    val blobs = case.blobs("image.planes")
    val strides = case.doubles("image.strides").map(Double::toInt)
    val preprocessor = Preprocessor(recipe(case))
    fun planes(buffer: (ByteArray) -> ByteBuffer) = blobs.mapIndexed { i, b -> Plane(buffer(b), strides.getOrNull(i)) }
    val bytes = case.given["output_bytes"]?.toInt() ?: preprocessor.recipe.outputBytes()
    val (output, selection) = direct(ByteArray(bytes)) to selection(case)
    preprocessor.run(image(case, planes(::direct)), output, selection)
    val array = ByteArray(bytes)
    preprocessor.run(image(case, planes { ByteBuffer.wrap(it).asReadOnlyBuffer() }), ByteBuffer.wrap(array), selection)
    val direct = ByteArray(bytes).also(output::get)
    val same = direct.contentEquals(array) && frames(image(case, planes(::direct))).all {
        preprocessor.run(it, output.also(ByteBuffer::rewind), selection)
        ByteArray(bytes).also(output::get).contentEquals(direct)
    }
    return if (same) mapOf("output" to direct) else mapOf("not the same" to case.name)
}

/** A 4:2:0 image as the planes that an Android camera gives: read in place, and from arrays. */
private fun frames(image: Image): List<Image> {
    val strides = image.planes.mapIndexed { i, p ->
        p.stride ?: if (i > 0 && image.format == PixelFormat.I420) image.width / 2 else image.width
    }
    fun frame(u: SpacedPlane, v: SpacedPlane): Image {
        val y = SpacedPlane(image.planes[0].bytes, strides[0], 1)
        return yuv420(image.width, image.height, y, u, v, image.orientation, image.matrix, image.range)
    }
    fun spaced(i: Int) = SpacedPlane(image.planes[i].bytes, strides[i], 1)
    return when (image.format) {
        PixelFormat.I420 -> listOf(frame(spaced(1), spaced(2)))
        PixelFormat.NV12, PixelFormat.NV21 -> {
            val chroma = image.planes[1].bytes
            val heap = ByteArray(chroma.remaining()).also(chroma.duplicate()::get)
            val found = listOf(chroma, ByteBuffer.wrap(heap)).map { memory ->
                // As cameras do: the first view ends a byte early.
                val first = memory.duplicate().also { it.limit(it.limit() - 1) }
                val second = memory.duplicate().also { it.position(1) }
                val (a, b) = SpacedPlane(first, strides[1], 2) to SpacedPlane(second, strides[1], 2)
                if (image.format == PixelFormat.NV12) frame(a, b) else frame(b, a)
            }
            check(found[0].format == image.format && found[1].format == PixelFormat.I420)
            found
        }
        else -> emptyList()
    }
}

private fun place(case: Case): Map<String, Any> {
    val p = recipe(case).place(image(case))
    return mapOf(
        "image_width" to p.imageWidth, "image_height" to p.imageHeight, "orientation" to p.orientation,
        "crop" to p.crop, "resized_width" to p.resizedWidth, "resized_height" to p.resizedHeight,
        "left" to p.left, "top" to p.top, "width" to p.width, "height" to p.height,
    )
}

/** What differs from a plain recipe of that size, which is what a case lists. */
private fun fromSpec(case: Case): Map<String, Any> {
    val r = Preprocessor(case.blobs("text").single()).recipe
    val plain = Recipe(r.width, r.height)
    val size = mapOf<String, Any>("recipe.width" to r.width, "recipe.height" to r.height)
    return size + listOfNotNull(
        ("recipe.fit" to Choice(r.fit.code)).takeIf { r.fit != plain.fit },
        ("recipe.resize_to" to r.resizeTo).takeIf { r.resizeTo != plain.resizeTo },
        ("recipe.filter" to Choice(r.filter.code)).takeIf { r.filter != plain.filter },
        ("recipe.pad_value" to r.padValue).takeIf { r.padValue != plain.padValue },
        ("recipe.channels" to Choice(r.channels.code)).takeIf { r.channels != plain.channels },
        ("recipe.type" to Choice(r.type.code)).takeIf { r.type != plain.type },
        ("recipe.layout" to Choice(r.layout.code)).takeIf { r.layout != plain.layout },
        ("recipe.mean" to r.mean).takeIf { r.mean != plain.mean },
        ("recipe.std" to r.std).takeIf { r.std != plain.std },
    )
}

private fun tensor(case: Case, key: String) = Tensor(
    direct(case.blobs("$key.data").single()), ElementType(case.choice("$key.type", 2)), case.double("$key.scale", 1.0),
    case.int("$key.zero_point"),
)

private fun classified(case: Case): Map<String, Any> {
    val activation = Activation(case.choice("activation", 0))
    val found = classify(tensor(case, "logits"), case.int("classes"), activation, case.int("top_count"))
    if (found.top.any { it.score != found.scores[it.index] }) return mapOf("top's scores" to found.top)
    return mapOf("scores" to found.scores, "top" to found.top.map { it.index })
}

private fun measured(case: Case): Map<String, Any> {
    val q = measure(
        tensor(case, "logits"), case.int("size"), Activation(case.choice("activation", 0)), case.double("first"),
        case.double("step"), case.double("share"), case.doubles("upper").toDoubleArray(),
    )
    return mapOf(
        "mass" to q.mass, "expectation" to q.expectation, "mode" to q.mode, "low" to q.low, "high" to q.high,
        "grade" to q.grade,
    )
}

private fun segmented(case: Case): Map<String, Any> {
    val found = segment(
        tensor(case, "logits"), case.int("classes"), case.int("width"), case.int("height"),
        Layout(case.choice("layout", 0)), recipe(case).place(image(case)),
    )
    return mapOf("mask" to found.mask.pixels, "counts" to found.counts.toList())
}

private fun mask(case: Case, key: String) =
    Mask(case.blobs("$key.pixels").single(), case.int("$key.width"), case.int("$key.height"))

private fun selection(case: Case): Selection? {
    if ("selection.mask.pixels" !in case.given) return null
    val keep = case.doubles("selection.keep").map(Double::toInt).toSet()
    val fill = case.doubles("selection.fill").map(Double::toInt).ifEmpty { listOf(0, 0, 0) }
    return Selection(mask(case, "selection.mask"), keep, fill)
}

private fun boxes(found: Boxes): Map<String, Any> = mapOf(
    "count" to found.count,
    "boxes" to found.boxes.flatMap { listOf<Number>(it.left, it.top, it.width, it.height, it.area, it.x, it.y) },
)
